import { cellToLatLng } from "h3-js";
import type { CityMap } from "./map/city-map";
import { h } from "./dom";
import * as format from "./format";
import { markScale } from "./map/gl";
import type { Sight, Sights, Subject } from "./selection";

/** Pick radius; larger for touch than for a mouse. */
const REACH_PX = matchMedia("(pointer: coarse)").matches ? 26 : 14;

interface CardOptions {
  /** Called when a subject is selected or deselected. */
  onPick?(subject: Subject | null): void;
  /** Loads the price history of a selected surge cell. */
  story?(cell: string): Promise<[string, string][]>;
  /** An area of the map that the card must not cover. */
  avoid?(): DOMRect;
}

/** The info card of the subject under the pointer, or of the selected one, which the card follows until deselected. */
export class Card {
  private hovered: Subject | null = null;
  private picked: Subject | null = null;
  private pointer: { lat: number; lng: number; x: number; y: number } | null = null;
  /** The selected surge cell, and its price history once loaded. */
  private told: { cell: string; rows: [string, string][] } | null = null;
  private readonly ring = h("div", { class: "pick", hidden: true });
  private shown = "";

  constructor(
    private readonly box: HTMLElement,
    private readonly city: CityMap,
    private readonly sights: Sights,
    private readonly more: CardOptions = {},
  ) {
    const { map } = city;
    box.setAttribute("role", "status");
    map.getContainer().append(this.ring);
    map.on("mousemove", ({ lngLat, point }) => {
      this.pointer = { lat: lngLat.lat, lng: lngLat.lng, x: point.x, y: point.y };
      this.hovered = this.at(this.pointer);
      this.draw();
    });
    map.on("mouseout", () => {
      this.pointer = this.hovered = null;
      this.draw();
    });
    map.on("click", ({ lngLat }) => {
      const subject = this.at(lngLat);
      this.pickByHand(subject);
      if (!subject) void this.tell(city.surge.at(lngLat.lat, lngLat.lng)?.cell);
    });
    map.on("render", () => this.draw());
    addEventListener("keydown", (event) => event.key === "Escape" && this.pickByHand(null));
  }

  pick(subject: Subject | null): void {
    this.picked = subject;
    this.draw();
  }

  /** Selects a subject and moves the map to it. */
  show(subject: Subject): boolean {
    const sight = this.sights.see(subject);
    if (!sight) return false;
    this.city.goTo(sight);
    this.pick(subject);
    return true;
  }

  private pickByHand(subject: Subject | null): void {
    this.told = null;
    this.pick(subject);
    this.more.onPick?.(subject);
  }

  private async tell(cell: string | undefined): Promise<void> {
    if (!cell || !this.more.story) return;
    const told = { cell, rows: [["Cell", cell]] as [string, string][] };
    this.told = told;
    this.draw();
    told.rows.push(...(await this.more.story(cell)));
    if (this.told === told) this.draw();
  }

  private at({ lat, lng }: { lat: number; lng: number }): Subject | null {
    return this.sights.near(lat, lng, this.city.reach(REACH_PX), {
      driver: (state) => this.city.shows("driver", state),
      requests: this.city.shows("request", 0),
    });
  }

  private draw(): void {
    const subject = this.hovered ?? this.picked;
    const sight = subject && this.sights.see(subject);
    this.city.map.getCanvas().style.cursor = this.hovered ? "pointer" : "";
    if (sight) this.place(sight, subject === this.picked);
    else this.drawSurge();
  }

  private drawStory({ cell, rows }: { cell: string; rows: [string, string][] }): void {
    const [lat_deg, lng_deg] = cellToLatLng(cell);
    const { x, y } = this.city.project(lat_deg, lng_deg);
    this.fillSurge(this.city.surge.of(cell), rows, "Esc lets go");
    this.move(x, y, 18);
  }

  private place(sight: Sight, isPicked: boolean): void {
    const { x, y } = this.city.project(sight.lat_deg, sight.lng_deg);
    const radius_px = sight.radius_px * markScale(this.city.map.getZoom()) + 6;
    this.fill(sight.title, sight.rows, sight.colour, isPicked ? "Esc lets go" : "");
    this.move(x, y, radius_px + 10);
    this.ring.hidden = false;
    this.ring.style.width = this.ring.style.height = `${2 * radius_px}px`;
    this.ring.style.transform = `translate(${x - radius_px}px, ${y - radius_px}px)`;
  }

  private drawSurge(): void {
    this.ring.hidden = true;
    if (this.told) return this.drawStory(this.told);
    const cell = this.pointer && this.city.surge.at(this.pointer.lat, this.pointer.lng);
    this.box.hidden = !cell;
    if (!cell || !this.pointer) return;
    this.fillSurge(cell.multiplier, [["Cell", cell.cell]], "");
    this.move(this.pointer.x, this.pointer.y, 18);
  }

  private fillSurge(multiplier: number, rows: [string, string][], note: string): void {
    this.fill(`Surge ${format.multiplier(multiplier)}`, rows, multiplier > 1 ? "--surge" : "--surge-below", note);
  }

  private fill(title: string, rows: [string, string][], colour: string, note: string): void {
    const key = JSON.stringify([title, rows, colour, note]);
    if (key !== this.shown) {
      const list = rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
      this.box.replaceChildren(h("strong", {}, title), h("dl", {}, ...list), ...(note ? [h("small", {}, note)] : []));
      this.box.style.setProperty("--accent", `var(${colour})`);
      this.shown = key;
    }
    this.box.hidden = false;
  }

  /** Beside the place, turned inwards where the window ends or something lies on the map. */
  private move(x: number, y: number, away_px: number): void {
    const { offsetWidth: width, offsetHeight: height } = this.box;
    const top = Math.min(Math.max(8, y - height / 2), innerHeight - height - 8);
    const taken = this.more.avoid?.();
    const isBeside = taken && taken.width > 0 && top < taken.bottom && top + height > taken.top && x < taken.left;
    const end = isBeside ? taken.left : innerWidth;
    const left = x + away_px + width > end ? x - away_px - width : x + away_px;
    this.box.style.transform = `translate(${Math.max(8, left)}px, ${top}px)`;
  }
}
