import type { DriverState } from "./contract";

/**
 * How a driver of each state looks. Colour is never the only sign: every state has its own outline and size.
 *
 * `path` is drawn in a box of 24 × 24 with its centre at (12, 12), pointing north; the legend and the map use the
 * same one. `still` is the outline of a driver whose heading is unknown.
 */
export interface StateLook {
  state: DriverState;
  label: string;
  meaning: string;
  colour: string;
  path: string;
  still: string;
  hollow: boolean;
  /** Turns with the driver. */
  turns: boolean;
  /** Side of the 24-box on the map, in CSS pixels, at a zoom that shows single streets. */
  size_px: number;
}

const DROP = "M12 2.5 16.6 9A6 6 0 1 1 7.4 9Z";
const ARROW = "M12 2 20 21 12 16.5 4 21Z";
const DISC = "M12 6a6 6 0 1 0 .01 0Z";
const DIAMOND = "M12 3 20 12 12 21 4 12Z";
const SQUARE = "M6 6h12v12H6Z";
const CROSS = "M7 5 12 10 17 5 19 7 14 12 19 17 17 19 12 14 7 19 5 17 10 12 5 7Z";

/** In the order of a ride; the place in this list is the number the shader knows a state by. */
export const LOOKS: readonly StateLook[] = [
  { state: "IDLE", label: "Idle", meaning: "free, waiting for a request", colour: "--idle", path: DROP, still: DISC, hollow: false, turns: true, size_px: 17 },
  { state: "OFFERED", label: "Offered", meaning: "has an offer to answer", colour: "--offered", path: DIAMOND, still: DIAMOND, hollow: false, turns: false, size_px: 20 },
  { state: "TO_PICKUP", label: "To pickup", meaning: "driving to the rider", colour: "--to-pickup", path: ARROW, still: DISC, hollow: true, turns: true, size_px: 20 },
  { state: "AT_PICKUP", label: "At pickup", meaning: "waiting at the pickup", colour: "--at-pickup", path: SQUARE, still: SQUARE, hollow: false, turns: false, size_px: 17 },
  { state: "ON_TRIP", label: "On trip", meaning: "rider aboard", colour: "--on-trip", path: ARROW, still: DISC, hollow: false, turns: true, size_px: 21 },
  { state: "STALE", label: "Stale", meaning: "no ping lately", colour: "--stale", path: CROSS, still: CROSS, hollow: false, turns: false, size_px: 14 },
];

const INDEX = new Map(LOOKS.map((look, index) => [look.state, index]));

/** The number of a state; one this page does not know yet is shown as stale rather than hidden. */
export function stateIndex(state: DriverState): number {
  return INDEX.get(state) ?? LOOKS.length - 1;
}

export function lookOf(state: DriverState): StateLook {
  return LOOKS[stateIndex(state)] as StateLook;
}
