import type { Drivers, DriverState, Figures, Frame, OpenRequest } from "../contract";
import { unrolled } from "../motion";
import type { Run, Tracks } from "./contract";
import type { PriceBoard } from "./price-board";

/** In `Rides.open`: a ride that is offered to a driver. */
const OPEN_OFFERED = 2;
const MINUTE_MS = 60_000;
const minuteOf = (t_ms: number) => Math.floor(t_ms / MINUTE_MS);

/** A part of a driver's way on which it did one thing: places as [lng, lat]. */
export interface Stretch {
  state: DriverState;
  places: [number, number][];
}

/** A recorded run that can be looked at in any moment. Playing on is cheap: each driver's corner is remembered. */
export class Recording {
  readonly length_ms: number;
  private readonly cursor: Int32Array;
  /** Of each minute the rides that are open in some of it: a day has too many to look at all for each picture. */
  private readonly openIn: number[][];
  /** Pickups in their order: when, after what wait, and the waits summed up to each; and ends of rides, by end. */
  private readonly picked_ms: number[];
  private readonly wait_ms: number[];
  private readonly waited_ms: Float64Array;
  private readonly p95_s = new Map<number, number>();
  private readonly ended: Record<"completed" | "cancelled" | "expired", number[]>;

  constructor(
    readonly run: Run,
    private readonly tracks: Tracks,
    readonly board: PriceBoard,
  ) {
    this.length_ms = (run.end_s - run.begin_s) * 1000;
    this.cursor = Int32Array.from(run.drivers, (_, i) => tracks.offset[i] as number);
    const { rides } = run;
    this.openIn = Array.from({ length: Math.floor(this.length_ms / MINUTE_MS) + 1 }, () => []);
    rides.open.forEach((steps, i) => {
      const last = steps[steps.length - 1] === 0 ? (steps[steps.length - 2] as number) : this.length_ms;
      for (let minute = minuteOf(rides.t_ms[i] as number); minute <= minuteOf(last); minute++) this.openIn[minute]?.push(i);
    });
    const picked = rides.picked_ms
      .flatMap((t_ms, i) => (t_ms === null ? [] : [{ t_ms, wait_ms: t_ms - (rides.t_ms[i] as number) }]))
      .sort((a, b) => a.t_ms - b.t_ms);
    this.picked_ms = picked.map(({ t_ms }) => t_ms);
    this.wait_ms = picked.map(({ wait_ms }) => wait_ms);
    this.waited_ms = new Float64Array(picked.length + 1);
    picked.forEach(({ wait_ms }, i) => (this.waited_ms[i + 1] = (this.waited_ms[i] as number) + wait_ms));
    const ends = (end: string) => rides.ended_ms.filter((_, i) => rides.end[i] === end).map(Number).sort((a, b) => a - b);
    this.ended = { completed: ends("completed"), cancelled: ends("cancelled"), expired: ends("expired") };
  }

  /** The whole city at a time, as the live map gets it from its server. */
  frame(t_ms: number): Frame {
    const drivers = this.drivers(t_ms);
    const requests = this.requests(t_ms);
    return { type: "frame", now_s: this.run.begin_s + t_ms / 1000, drivers, requests, surge: this.board.at(t_ms), figures: this.figures(t_ms, drivers, requests) };
  }

  /** How many rides were open at each of `count` moments, spread over the run. */
  openOverTime(count: number): number[] {
    const changes: [number, number][] = [];
    for (const steps of this.run.rides.open) {
      let wasOpen = false;
      for (let k = 0; k < steps.length; k += 2) {
        const isOpen = steps[k + 1] !== 0;
        if (isOpen !== wasOpen) changes.push([steps[k] as number, isOpen ? 1 : -1]);
        wasOpen = isOpen;
      }
    }
    return this.summed(changes, count);
  }

  /** How many riders were aboard at each of `count` moments, spread over the run. */
  aboardOverTime(count: number): number[] {
    const { picked_ms, ended_ms } = this.run.rides;
    const ends = ended_ms.filter((t_ms, i): t_ms is number => t_ms !== null && picked_ms[i] !== null);
    return this.summed([...this.picked_ms.map((t_ms): [number, number] => [t_ms, 1]), ...ends.map((t_ms): [number, number] => [t_ms, -1])], count);
  }

  /** Where a driver went between two times, stretch by stretch of what it did; standing still is left out. */
  way(driver: string, from_ms: number, to_ms: number): Stretch[] {
    const i = this.run.drivers.indexOf(driver);
    const { offset, t_ms, state } = this.tracks;
    const stretches: Stretch[] = [];
    for (let at = offset[i] ?? 0; at + 1 < (offset[i + 1] ?? 0); at++) {
      const [begin_ms, end_ms] = [t_ms[at] as number, t_ms[at + 1] as number];
      if (end_ms <= from_ms || begin_ms >= to_ms || end_ms === begin_ms) continue;
      const doing = this.stateOf(state[at] as number);
      let stretch = stretches.at(-1);
      if (stretch?.state !== doing) stretches.push((stretch = { state: doing, places: [this.between(at, from_ms)] }));
      // On from the place before, also past 180°.
      const [lng, lat] = this.between(at, to_ms);
      stretch.places.push([unrolled(lng, stretch.places.at(-1)![0]), lat]);
    }
    return stretches.filter(({ places: [first, ...others] }) => others.some((place) => place[0] !== first?.[0] || place[1] !== first?.[1]));
  }

  private summed(changes: [t_ms: number, by: number][], count: number): number[] {
    const change = new Float64Array(count + 1);
    for (const [t_ms, by] of changes) change[Math.min(count, Math.max(0, Math.ceil((t_ms / this.length_ms) * (count - 1))))]! += by;
    let sum = 0;
    return Array.from({ length: count }, (_, i) => (sum += change[i] as number));
  }

  /** [lng, lat] where a driver is at a time between a corner and the next; at the corner itself outside of that. */
  private between(at: number, now_ms: number): [number, number] {
    const { t_ms, lat_e6, lng_e6 } = this.tracks;
    const [begin_ms, end_ms] = [t_ms[at] as number, t_ms[at + 1] as number];
    const share = Math.min(1, Math.max(0, (now_ms - begin_ms) / (end_ms - begin_ms)));
    const north = (lat_e6[at + 1] as number) - (lat_e6[at] as number);
    return [((lng_e6[at] as number) + share * this.east(at, at + 1)) / 1e6, ((lat_e6[at] as number) + share * north) / 1e6];
  }

  /** Millionths of a degree from a corner to another the short way round. */
  private east(at: number, next: number): number {
    const east = (this.tracks.lng_e6[next] as number) - (this.tracks.lng_e6[at] as number);
    return east - 360e6 * Math.round(east / 360e6);
  }

  /** The state of a number; one that this page does not know is shown as stale rather than hidden. */
  private stateOf(number: number): DriverState {
    return this.run.driver_states[number] ?? "STALE";
  }

  private drivers(t_ms: number): Drivers {
    const found: Drivers = { id: [], lat_deg: [], lng_deg: [], heading_deg: [], state: [] };
    this.run.drivers.forEach((id, i) => {
      const first = this.tracks.offset[i] as number;
      const after = this.tracks.offset[i + 1] as number;
      if (first === after || (this.tracks.t_ms[first] as number) > t_ms) return;
      this.put(found, id, this.seek(i, first, after, t_ms), after, t_ms);
    });
    return found;
  }

  /** The last corner that driver `i` has reached by a time. */
  private seek(i: number, first: number, after: number, t_ms: number): number {
    const times = this.tracks.t_ms;
    let at = this.cursor[i] as number;
    // Some corners ahead while playing on; a jump is searched for.
    for (let step = 0; step < 8 && (times[at] as number) <= t_ms; step++) {
      if (at + 1 >= after || (times[at + 1] as number) > t_ms) return (this.cursor[i] = at);
      at++;
    }
    let [low, high] = [first, after - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((times[middle] as number) <= t_ms) low = middle;
      else high = middle - 1;
    }
    return (this.cursor[i] = low);
  }

  private put(found: Drivers, id: string, at: number, after: number, t_ms: number): void {
    const { t_ms: times, lat_e6, lng_e6, state } = this.tracks;
    const next = at + 1 < after ? at + 1 : at;
    const span_ms = (times[next] as number) - (times[at] as number);
    const share = span_ms > 0 ? (t_ms - (times[at] as number)) / span_ms : 0;
    const lat = lat_e6[at] as number;
    const lng = lng_e6[at] as number;
    const north = (lat_e6[next] as number) - lat;
    const east = this.east(at, next);
    found.id.push(id);
    found.lat_deg.push((lat + share * north) / 1e6);
    found.lng_deg.push((lng + share * east) / 1e6);
    found.heading_deg.push(heading(north, east * Math.cos((lat / 1e6) * (Math.PI / 180))));
    found.state.push(this.stateOf(state[at] as number));
  }

  private requests(t_ms: number): OpenRequest[] {
    const { rides, begin_s } = this.run;
    const found: OpenRequest[] = [];
    for (const i of this.openIn[minuteOf(t_ms)] ?? []) {
      const steps = rides.open[i] as number[];
      let openness = 0;
      for (let k = 0; k < steps.length && (steps[k] as number) <= t_ms; k += 2) openness = steps[k + 1] as number;
      if (openness === 0) continue;
      found.push({
        ride_id: rides.ride_id[i] as string,
        state: openness === OPEN_OFFERED ? "OFFERED" : "REQUESTED",
        lat_deg: rides.lat_deg[i] as number,
        lng_deg: rides.lng_deg[i] as number,
        requested_s: begin_s + (rides.t_ms[i] as number) / 1000,
      });
    }
    return found;
  }

  /** The 95th percentile of the first waits; sorting them for each picture would cost more than the picture. */
  private p95(picked: number): number | null {
    const step = Math.max(1, Math.floor(this.wait_ms.length / 200));
    const count = picked < step ? picked : picked - (picked % step);
    if (count === 0) return null;
    let known = this.p95_s.get(count);
    if (known === undefined) {
      const sorted = Float64Array.from(this.wait_ms.slice(0, count)).sort();
      known = (sorted[Math.floor(0.95 * (count - 1))] as number) / 1000;
      this.p95_s.set(count, known);
    }
    return known;
  }

  private figures(t_ms: number, drivers: Drivers, requests: OpenRequest[]): Figures {
    const idle = drivers.state.filter((state) => state === "IDLE").length;
    const picked = countUpTo(this.picked_ms, t_ms);
    const ages_s = requests.map((one) => this.run.begin_s + t_ms / 1000 - one.requested_s);
    return {
      drivers_online: drivers.id.length,
      drivers_idle: idle,
      drivers_busy: drivers.id.length - idle,
      requests_open: requests.length,
      rides_completed: countUpTo(this.ended.completed, t_ms),
      rides_cancelled: countUpTo(this.ended.cancelled, t_ms),
      rides_expired: countUpTo(this.ended.expired, t_ms),
      pickup_wait_mean_s: picked ? (this.waited_ms[picked] as number) / picked / 1000 : null,
      pickup_wait_p95_s: this.p95(picked),
      oldest_request_age_s: ages_s.length ? Math.max(...ages_s) : null,
      pings_per_s: 0,
      round_ms_p50: null,
      round_ms_p99: null,
      surge_max: Math.max(1, ...this.board.at(t_ms).map(({ multiplier }) => multiplier)),
    };
  }
}

/** Degrees clockwise from north, null at rest. */
export function heading(north: number, east: number): number | null {
  return north === 0 && east === 0 ? null : ((Math.atan2(east, north) * 180) / Math.PI + 360) % 360;
}

/** How many of ascending numbers are not above a limit. */
export function countUpTo(ascending: readonly number[], limit: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ascending[middle] as number) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
