import type { City } from "../contract";
import { h } from "../dom";
import type { RideEvent } from "./contract";

interface TraceHandlers {
  events(subject: string): Promise<RideEvent[]>;
  clock(now_s: number): string;
  /** `bring` if the map should move to it. */
  onShow(subject: string, events: readonly RideEvent[], bring: boolean): void;
  onSeek(at_s: number): void;
  onClose(): void;
}

/** A driver at work on a ride, from the yes until the end or until someone else has it. */
export interface Span {
  driver: string;
  from_ms: number;
  to_ms: number;
}

/** The clock of a replay counts whole milliseconds. */
const MS_S = 0.001;
const BEGINS = "OfferAccepted";
const ENDS = ["AssignmentCancelled", "RideCancelled", "RiderDroppedOff", "TripClosed", "RiderDidNotShow"];

/** Who worked on a ride and when; a ride that is not over at the end of the run counts up to `end_s`. */
export function spansOf(events: readonly RideEvent[], begin_s: number, end_s: number): Span[] {
  const ms = (at_s: number) => Math.round(1000 * (at_s - begin_s));
  const spans: Span[] = [];
  for (const { event, at_s, driver_id } of events) {
    const open = spans.at(-1);
    if (event === BEGINS && driver_id) spans.push({ driver: driver_id, from_ms: ms(at_s), to_ms: ms(end_s) });
    else if (open && ENDS.includes(event)) open.to_ms = ms(at_s);
  }
  return spans;
}

/** All that happened to a ride or a driver, in its order; a click goes to the moment. */
export class Trace {
  subject = "";
  private moments: { at_s: number; item: HTMLElement }[] = [];

  constructor(
    private readonly box: HTMLElement,
    private readonly city: City,
    private readonly handlers: TraceHandlers,
  ) {}

  /** Shows a ride or driver of the run. */
  async show(subject: string, { bring } = { bring: true }): Promise<void> {
    this.subject = subject;
    const events = await this.handlers.events(subject);
    // Another subject was requested meanwhile.
    if (this.subject !== subject) return;
    const items = events.map((event) => this.item(event));
    this.moments = events.map((event, i) => ({ at_s: event.at_s, item: items[i] as HTMLElement }));
    const close = h("button", { type: "button", "aria-label": "Close", title: "Close", onclick: () => this.close() }, "×");
    const nothing = items.length ? [] : [h("p", { class: "quiet" }, "Nothing happened to this driver in this run.")];
    this.box.replaceChildren(h("header", {}, h("h2", {}, subject), close), ...nothing, h("ol", {}, ...items));
    this.box.hidden = false;
    this.handlers.onShow(subject, events, bring);
  }

  close(): void {
    this.subject = "";
    if (this.box.hidden) return;
    this.box.hidden = true;
    this.handlers.onClose();
  }

  /** Marks what has happened by now. */
  at(now_s: number): void {
    if (this.box.hidden) return;
    for (const { at_s, item } of this.moments) item.toggleAttribute("data-past", at_s <= now_s + MS_S);
  }

  private item(event: RideEvent): HTMLElement {
    const other = event.ride_id === this.subject ? event.driver_id : event.ride_id;
    const go = h("button", { type: "button", class: "moment", onclick: () => this.handlers.onSeek(event.at_s) },
      h("time", {}, this.handlers.clock(event.at_s)), h("strong", {}, words(event.event)), h("span", { class: "quiet" }, detail(event, this.city)));
    const link = other ? [h("button", { type: "button", class: "other", title: `Show ${other}`, onclick: () => void this.show(other) }, other)] : [];
    return h("li", {}, go, ...link);
  }
}

/** OfferSent → Offer sent */
function words(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, (_, before: string, after: string) => `${before} ${after.toLowerCase()}`);
}

/** An amount of minor units with the decimals of the city's currency: 1250 is "12.50 USD" and "1250 JPY". */
export function money(minorUnits: number, { currency, minor_unit_digits: digits }: Pick<City, "currency" | "minor_unit_digits">): string {
  return `${(minorUnits / 10 ** digits).toFixed(digits)} ${currency}`;
}

function detail(event: RideEvent, city: City): string {
  const said: string[] = [];
  if (event.pickup_eta_s !== undefined) said.push(`pickup in ${Math.round(event.pickup_eta_s)} s`);
  if (event.fare_cents !== undefined && event.event !== "OfferSent") said.push(money(event.fare_cents, city));
  if (event.by) said.push(`by the ${event.by}`);
  if (event.reason) said.push(event.reason);
  return said.join(", ");
}
