import type { Frame } from "../contract";
import { h, setText } from "../dom";
import * as format from "../format";
import { Supply } from "../panel/supply";
import { Waiting } from "../panel/waiting";
import type { Run } from "./contract";

interface PanelHandlers {
  onToggle: ConstructorParameters<typeof Supply>[0];
  onPickRide(id: string): void;
  /** Answers whether the run has such a ride or driver. */
  onFind(text: string): Promise<boolean>;
}

/** Simulated riders mostly come at seconds of some day without a date; no recorded one is as old as this. */
const DATES_FROM_S = 365 * 86_400;
const FIGURES = ["Open requests", "Mean wait", "95th percentile", "Completed", "Cancelled", "Expired"];

/** The figures of the moment that is shown; counts and waits are of the run up to then. */
export class ReplayPanel {
  readonly clock: (now_s: number) => { time: string; date: string };
  private readonly time = h("span", { class: "time" }, "--:--:--");
  private readonly date = h("span", { class: "date" });
  private readonly supply: Supply;
  private readonly waiting: Waiting;
  private readonly cells = FIGURES.map((name) => ({ name, value: h("dd", {}, format.DASH) }));

  constructor(box: HTMLElement, { city, begin_s }: Run, handlers: PanelHandlers) {
    this.clock = begin_s < DATES_FROM_S ? sinceMidnight() : format.cityClock(city.timezone);
    this.supply = new Supply(handlers.onToggle);
    this.waiting = new Waiting(handlers.onPickRide);
    const grid = h("dl", { class: "grid three" }, ...this.cells.map(({ name, value }) => h("div", {}, h("dt", {}, name), value)));
    box.replaceChildren(
      h("header", {},
        h("div", { class: "title" }, h("h1", {}, city.name), h("span", { class: "quiet" }, "Replay")),
        h("div", { class: "clock" }, this.time, h("span", { class: "day" }, this.date)),
      ),
      h("div", { class: "body" },
        h("section", { class: "trends", "aria-label": "Up to this moment" }, grid),
        this.supply.element, this.waiting.element, finder(handlers.onFind)),
    );
  }

  take({ figures, requests, now_s }: Frame, counts: readonly number[]): void {
    const { time, date } = this.clock(now_s);
    setText(this.time, time);
    setText(this.date, date);
    this.supply.take(figures.drivers_online, counts);
    this.waiting.take(requests, now_s);
    const texts = [
      format.count(figures.requests_open),
      format.duration(figures.pickup_wait_mean_s),
      format.duration(figures.pickup_wait_p95_s),
      format.count(figures.rides_completed),
      format.count(figures.rides_cancelled),
      format.count(figures.rides_expired),
    ];
    this.cells.forEach(({ value }, i) => setText(value, texts[i] as string));
  }
}

function sinceMidnight(): (now_s: number) => { time: string; date: string } {
  const clock = format.cityClock("UTC");
  return (now_s) => ({ time: clock(now_s).time, date: now_s < 86_400 ? "" : `Day ${Math.floor(now_s / 86_400) + 1}` });
}

function finder(onFind: PanelHandlers["onFind"]): HTMLElement {
  const input = h("input", { type: "search", id: "find", placeholder: "Driver or ride id", autocomplete: "off", spellcheck: "false" });
  const answer = h("span", { class: "quiet", role: "status" });
  const form = h("form", { class: "find", role: "search" }, h("label", { for: "find" }, "Trace"), input, h("button", { type: "submit" }, "Show"), answer);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void onFind(input.value.trim()).then((isFound) => setText(answer, isFound ? "" : "Not in this run."));
  });
  return form;
}
