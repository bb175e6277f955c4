import { h, setText, svg } from "../dom";
import * as format from "../format";
import { type Player, SPEEDS } from "./player";

const POINTS = 240;
const JUMP_MS = 30_000;

interface Curve {
  name: string;
  /** Its class in the style sheet. */
  kind: string;
  values: readonly number[];
}

/** The bar to play, stop and scrub, over curves of what went on; each has a scale of its own. */
export class Timeline {
  private readonly play = h("button", { type: "button", class: "play" });
  private readonly slider: HTMLInputElement;
  private readonly speed = h("select", { id: "speed", "aria-label": "Speed" }, ...SPEEDS.map((speed) => h("option", { value: String(speed) }, `${speed}×`)));
  private readonly past = h("span", { class: "past" });

  constructor(
    box: HTMLElement,
    private readonly player: Player,
    private readonly length_ms: number,
    curves: readonly Curve[],
  ) {
    this.slider = h("input", { type: "range", id: "moment", min: "0", max: String(Math.ceil(length_ms)), step: "1000", value: "0", "aria-label": "Moment of the run" });
    box.replaceChildren(
      this.play,
      h("div", { class: "scrub" }, drawn(curves), this.slider),
      this.past,
      this.speed,
      h("small", { class: "keys" }, ...curves.map(legend), h("span", {}, "Space plays · J and L jump 30 s · [ and ] change the speed")),
    );
    this.play.addEventListener("click", () => player.toggle());
    this.slider.addEventListener("input", () => player.seek(Number(this.slider.value)));
    this.speed.addEventListener("change", () => player.setSpeed(Number(this.speed.value)));
    addEventListener("keydown", (event) => this.key(event));
    this.show();
  }

  /** Takes the state of the player. */
  show(): void {
    const name = this.player.playing ? "Pause" : "Play";
    this.play.setAttribute("aria-label", name);
    this.play.title = name;
    this.play.replaceChildren(svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: this.player.playing ? "M6 4h4v16H6zM14 4h4v16h-4z" : "M7 4 20 12 7 20z" })));
    this.speed.value = String(this.player.speed);
    this.move(this.player.t_ms);
  }

  move(t_ms: number): void {
    this.slider.value = String(Math.round(t_ms));
    setText(this.past, `${format.duration(t_ms / 1000)} of ${format.duration(this.length_ms / 1000)}`);
    this.slider.setAttribute("aria-valuetext", format.duration(t_ms / 1000));
  }

  private key(event: KeyboardEvent): void {
    const { target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target instanceof HTMLElement && target.closest("input:not([type=range]), select, textarea")) return;
    const { player } = this;
    const actions: Record<string, () => void> = {
      j: () => player.seek(player.t_ms - JUMP_MS),
      l: () => player.seek(player.t_ms + JUMP_MS),
      "[": () => player.shift(-1),
      "]": () => player.shift(1),
    };
    // Space presses the button that has the focus; elsewhere it plays.
    if (!(target instanceof HTMLButtonElement)) actions[" "] = () => player.toggle();
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }
}

function drawn(curves: readonly Curve[]): SVGElement {
  const areas = curves.map(({ kind, values }) => {
    const top = Math.max(1, ...values);
    const points = values.map((value, i) => `${((i / (values.length - 1)) * POINTS).toFixed(1)} ${(30 - (28 * value) / top).toFixed(1)}`);
    return svg("path", { class: kind, d: `M0 30L${points.join("L")}L${POINTS} 30Z` });
  });
  return svg("svg", { viewBox: `0 0 ${POINTS} 30`, preserveAspectRatio: "none", class: "curves", "aria-hidden": "true" }, ...areas);
}

function legend({ name, kind, values }: Curve): HTMLElement {
  return h("span", {}, h("i", { class: kind }), `${name}, up to ${format.count(Math.max(0, ...values))}`);
}

export const CURVE_POINTS = POINTS;
