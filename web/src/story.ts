import type { SurgeChange } from "./contract";
import * as format from "./format";

/** How many changes a card tells of. */
export const CHANGES_TOLD = 6;

/** Explains the price of a cell and its changes, newest first, as lines of a card. */
export function storyRows(changes: readonly SurgeChange[], timeOf: (at_s: number) => string): [string, string][] {
  const [last] = changes;
  if (!last) return [["Last day", "no change"]];
  const bounds = last.bounds.map(({ words }) => words).join("; ");
  return [
    ["Why", last.words],
    ["Requests, quotes", `${last.requests.toFixed(1)}, ${last.quotes.toFixed(1)}`],
    ["Idle drivers in reach", last.supply.toFixed(1)],
    ["Would clear at", format.multiplier(last.target)],
    ...(bounds ? [["Held back", bounds] as [string, string]] : []),
    ...changes.map(({ at_s, multiplier_before, multiplier }): [string, string] => [
      timeOf(at_s),
      `${format.multiplier(multiplier_before)} → ${format.multiplier(multiplier)}`,
    ]),
    ["Rules", last.version],
  ];
}
