import { svg } from "../dom";

const WIDTH = 240;
const HEIGHT = 34;
const SPAN_S = 300;
/** Shortest time span of the x axis, for a page that was just opened. */
const SPAN_S_MIN = 30;

/** Up to five minutes of one figure, by the clock on the wall: a line, no axes, the scale starting at zero. */
export class Sparkline {
  readonly element: SVGElement;
  private readonly line = svg("path", { class: "line" });
  private readonly area = svg("path", { class: "area" });
  private readonly dot = svg("path", { class: "dot" });
  private points: { at_s: number; value: number }[] = [];

  constructor(
    private readonly name: string,
    colour: string,
  ) {
    this.element = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "spark", role: "img", preserveAspectRatio: "none", style: `color: var(${colour})` },
      this.area,
      this.line,
      this.dot,
    );
  }

  push(at_s: number, value: number): void {
    this.points.push({ at_s, value });
    while ((this.points[0]?.at_s ?? at_s) < at_s - SPAN_S) this.points.shift();
    this.draw(at_s);
  }

  private draw(now_s: number): void {
    const most = Math.max(1, ...this.points.map(({ value }) => value));
    const span_s = Math.max(SPAN_S_MIN, now_s - (this.points[0]?.at_s ?? now_s));
    const x = (at_s: number) => WIDTH - 4 - ((now_s - at_s) / span_s) * (WIDTH - 8);
    const y = (value: number) => HEIGHT - 3 - (value / most) * (HEIGHT - 8);
    const path = this.points.map(({ at_s, value }) => `${x(at_s).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
    const first = this.points[0];
    const last = this.points.at(-1);
    if (!first || !last) return;
    this.line.setAttribute("d", `M${path}`);
    this.area.setAttribute("d", `M${x(first.at_s)} ${HEIGHT}L${path}L${x(last.at_s)} ${HEIGHT}Z`);
    // A line of no length with round ends: it stays round however the picture is stretched.
    this.dot.setAttribute("d", `M${x(last.at_s)} ${y(last.value)}h0`);
    this.element.setAttribute("aria-label", `${this.name} over the last ${Math.round(span_s)} seconds: now ${last.value}, at most ${most}`);
  }
}
