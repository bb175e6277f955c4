import type { SurgeCell } from "../contract";
import type { Prices } from "./contract";

/** Surge prices at the replayed time. Playing forwards applies new changes only; a jump back starts from the beginning. */
export class PriceBoard {
  private readonly multipliers: Float64Array;
  private taken = 0;
  private shown: SurgeCell[] = [];

  constructor(private readonly prices: Prices) {
    this.multipliers = new Float64Array(prices.cell.length).fill(1);
  }

  /** Whether prices ever moved. */
  get moves(): boolean {
    return this.prices.t_ms.length > 0;
  }

  /** The cells that are not at the base; the same array for as long as nothing changes. */
  at(t_ms: number): SurgeCell[] {
    const { t_ms: times, at, multiplier, cell } = this.prices;
    const before = this.taken;
    if (this.taken > 0 && (times[this.taken - 1] as number) > t_ms) {
      this.taken = 0;
      this.multipliers.fill(1);
    }
    while (this.taken < times.length && (times[this.taken] as number) <= t_ms) {
      this.multipliers[at[this.taken] as number] = multiplier[this.taken] as number;
      this.taken++;
    }
    if (this.taken !== before) this.shown = cell.map((name, i) => ({ cell: name, multiplier: this.multipliers[i] as number })).filter((one) => one.multiplier !== 1);
    return this.shown;
  }
}
