import type { City, DriverState, Frame } from "../contract";
import { h, setText } from "../dom";
import * as format from "../format";
import { Sparkline } from "./sparkline";
import { Supply } from "./supply";
import { Waiting } from "./waiting";

export interface PanelHandlers {
  onToggle(state: DriverState, shown: boolean): void;
  onPickRide(ride_id: string): void;
  /** Whether something of that name was found. */
  onFind(text: string): boolean;
}

/** Age from which the picture is marked as outdated: six missed frames. */
const STALE_AFTER_S = 3;

type Cell = { element: HTMLElement; set(text: string): void };

/** The figures of the city. On a narrow page it is a sheet at the bottom edge that opens upwards. */
export class Panel {
  readonly supply: Supply;
  private readonly clock: (now_s: number) => { time: string; date: string };
  private readonly time = h("span", { class: "time" }, "--:--:--");
  private readonly date = h("span", { class: "date" });
  private readonly link = h("span", { class: "link", role: "status" }, "Connecting");
  private readonly age = h("span", { class: "age" });
  private readonly open = new Sparkline("Open requests", "--request");
  private readonly idle = new Sparkline("Idle drivers", "--idle");
  private readonly requests = figure();
  private readonly idleNow = figure();
  private readonly cells: Record<string, Cell> = {};
  private readonly waiting: Waiting;

  constructor(box: HTMLElement, city: City, handlers: PanelHandlers) {
    this.clock = format.cityClock(city.timezone);
    this.supply = new Supply(handlers.onToggle);
    this.waiting = new Waiting(handlers.onPickRide);
    box.replaceChildren(
      this.header(city, box),
      h("div", { class: "body" }, this.trends(), this.supply.element, this.waits(), this.waiting.element, this.engine(), finder(handlers.onFind)),
    );
  }

  take(frame: Frame, counts: readonly number[]): void {
    const { figures, now_s } = frame;
    const { time, date } = this.clock(now_s);
    setText(this.time, time);
    setText(this.date, date);
    this.supply.take(figures.drivers_online, counts);
    this.waiting.take(frame.requests, now_s);
    setText(this.requests, format.count(figures.requests_open));
    setText(this.idleNow, format.count(figures.drivers_idle));
    const clock_s = performance.now() / 1000;
    this.open.push(clock_s, figures.requests_open);
    this.idle.push(clock_s, figures.drivers_idle);
    this.takeCells(figures);
  }

  /** How fresh the picture is; `age_s` is null before the first one. */
  setLink(live: boolean, age_s: number | null): void {
    const isFresh = live && age_s !== null && age_s < STALE_AFTER_S;
    document.body.dataset.link = isFresh ? "live" : age_s === null ? "none" : "stale";
    setText(this.link, isFresh ? "Live" : live ? "No news" : age_s === null ? "Connecting" : "Reconnecting");
    setText(this.age, isFresh || age_s === null ? "" : `This picture is ${format.duration(age_s)} old`);
  }

  private takeCells(figures: Frame["figures"]): void {
    const texts: Record<string, string> = {
      "Mean wait": format.duration(figures.pickup_wait_mean_s),
      "95th percentile": format.duration(figures.pickup_wait_p95_s),
      "Oldest request": format.duration(figures.oldest_request_age_s),
      Completed: format.count(figures.rides_completed),
      Cancelled: format.count(figures.rides_cancelled),
      Expired: format.count(figures.rides_expired),
      "Pings per second": format.count(figures.pings_per_s),
      "Highest surge": format.multiplier(figures.surge_max),
      "Round, median": format.milliseconds(figures.round_ms_p50),
      "Round, 99th pct": format.milliseconds(figures.round_ms_p99),
    };
    for (const [name, text] of Object.entries(texts)) this.cells[name]?.set(text);
  }

  private header(city: City, box: HTMLElement): HTMLElement {
    const fold = h("button", { type: "button", class: "fold", "aria-expanded": "false", "aria-controls": "panel" }, "All figures");
    fold.addEventListener("click", () => {
      const open = box.toggleAttribute("data-open");
      fold.setAttribute("aria-expanded", String(open));
      fold.textContent = open ? "Fewer figures" : "All figures";
    });
    const speed = city.speed === 1 ? "" : `${city.speed}× speed`;
    return h("header", {},
      h("div", { class: "title" }, h("h1", {}, city.name), this.link),
      h("div", { class: "clock" }, this.time, h("span", { class: "day" }, this.date, h("span", { class: "speed" }, speed)), this.age),
      fold,
    );
  }

  private trends(): HTMLElement {
    return h("section", { class: "trends", "aria-label": "Last five minutes" },
      h("div", {}, h("h2", {}, this.requests, "open requests"), this.open.element),
      h("div", {}, h("h2", {}, this.idleNow, "idle drivers"), this.idle.element),
    );
  }

  private waits(): HTMLElement {
    return h("section", { "aria-labelledby": "waits" },
      h("h2", { id: "waits" }, "Pickup waits and rides"),
      h("dl", { class: "grid three" }, ...["Mean wait", "95th percentile", "Oldest request", "Completed", "Cancelled", "Expired"].map((name) => this.cell(name))),
    );
  }

  private engine(): HTMLElement {
    return h("section", { "aria-labelledby": "engine" },
      h("h2", { id: "engine" }, "Engine"),
      h("dl", { class: "grid two" }, ...["Pings per second", "Highest surge", "Round, median", "Round, 99th pct"].map((name) => this.cell(name))),
    );
  }

  private cell(name: string): HTMLElement {
    const value = h("dd", {}, format.DASH);
    const element = h("div", {}, h("dt", {}, name), value);
    this.cells[name] = { element, set: (text) => setText(value, text) };
    return element;
  }
}

function figure(): HTMLElement {
  return h("span", { class: "figure" }, format.DASH);
}

function finder(onFind: (text: string) => boolean): HTMLElement {
  const input = h("input", { type: "search", id: "find", placeholder: "Driver or ride id", autocomplete: "off", spellcheck: "false" });
  const answer = h("span", { class: "quiet", role: "status" });
  const form = h("form", { class: "find", role: "search" }, h("label", { for: "find" }, "Find"), input, h("button", { type: "submit" }, "Show"), answer);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    setText(answer, onFind(input.value) ? "" : "Not in the picture.");
  });
  return form;
}
