const FIRST_MS = 500;
/** Longest delay between reconnection attempts; it bounds the load of many open pages on a recovering server. */
const LONGEST_MS = 15_000;

/** How long to wait before attempt `attempt` (0, 1, …): doubling, with full jitter over the upper half. */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 20));
  return ceiling * (0.5 + random() / 2);
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
