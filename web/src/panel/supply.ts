import type { DriverState } from "../contract";
import { h, setText, svg } from "../dom";
import * as format from "../format";
import { LOOKS, type StateLook } from "../states";

/** Drivers by state: a bar of shares, and the legend, whose entries hide and show their state on the map. */
export class Supply {
  readonly element: HTMLElement;
  private readonly online = h("span", { class: "figure" }, format.DASH);
  private readonly counts = LOOKS.map(() => h("span", { class: "count" }, format.DASH));
  private readonly shares = LOOKS.map((look) => h("i", { style: `background: var(${look.colour})` }));

  constructor(onToggle: (state: DriverState, shown: boolean) => void) {
    const entries = LOOKS.map((look, i) => this.entry(look, this.counts[i]!, onToggle));
    this.element = h(
      "section",
      { "aria-labelledby": "supply" },
      h("h2", { id: "supply" }, "Drivers online", this.online),
      h("div", { class: "shares", "aria-hidden": "true" }, ...this.shares),
      h("ul", { class: "legend", "aria-label": "Show on the map" }, ...entries),
    );
  }

  take(online: number, counts: readonly number[]): void {
    setText(this.online, format.count(online));
    counts.forEach((count, i) => {
      setText(this.counts[i]!, format.count(count));
      this.shares[i]!.style.flexGrow = String(count);
    });
  }

  private entry(look: StateLook, count: HTMLElement, onToggle: (state: DriverState, shown: boolean) => void): HTMLElement {
    const button = h("button", { type: "button", "aria-pressed": "true", title: `${look.label}: ${look.meaning}. Click to hide or show.` },
      legendMark(look), h("span", {}, look.label), count);
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      onToggle(look.state, shown);
    });
    return h("li", {}, button);
  }
}

function legendMark(look: StateLook): SVGElement {
  const paint = look.hollow ? { fill: "none", stroke: "currentColor", "stroke-width": "2.6", "stroke-linejoin": "round" } : { fill: "currentColor" };
  return svg("svg", { viewBox: "0 0 24 24", class: "mark", "aria-hidden": "true", style: `color: var(${look.colour})` },
    svg("path", { d: look.path, ...paint }));
}
