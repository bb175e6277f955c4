import type { Drivers } from "./contract";
import { LOOKS, stateIndex } from "./states";

/** Floats per driver in `Motion.places`: from x, y; to x, y; heading from, to (radians); state; has a heading (0 or 1). */
export const STRIDE = 8;

/** The longest interpolation between frames; after a longer gap drivers jump, since their way is unknown. */
const GLIDE_MS_MAX = 3000;
const GLIDE_MS_MIN = 100;
/** Fraction of the web-mercator square, about 4 km in the middle latitudes: no car does that between two frames. */
const JUMP = 1.3e-4;

export interface Origin {
  x: number;
  y: number;
}

/** Web mercator, the whole world in 0…1, y downwards. */
export function mercator(lat_deg: number, lng_deg: number): Origin {
  const sin = Math.sin((lat_deg * Math.PI) / 180);
  return { x: lng_deg / 360 + 0.5, y: 0.5 - Math.log((1 + sin) / (1 - sin)) / (4 * Math.PI) };
}

/** Mercator units from one x to another the short way round: a city on both sides of 180° is one city. */
export function eastward(from: number, to: number): number {
  const x = to - from;
  return x - Math.round(x);
}

/** A longitude as near to another as can be, past 180° if need be: maps draw lines and boxes between plain numbers. */
export function unrolled(lng_deg: number, near_deg: number): number {
  return lng_deg - 360 * Math.round((lng_deg - near_deg) / 360);
}

/** [west, south, east, north] of a box, whose east is above its west also where it holds 180°. */
export function boxOf({ south, west, north, east }: { south: number; west: number; north: number; east: number }): [number, number, number, number] {
  return [west, south, east < west ? east + 360 : east, north];
}

export function latLng(x: number, y: number): [number, number] {
  return [(Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI, (x - 0.5) * 360];
}

/**
 * Where every driver is between two frames. Each glides from where it was drawn last to where the newest frame puts
 * it, over the time frames have been apart. The places are kept relative to an origin in the city, so that 32 bits
 * are exact to a millimetre, and in one array that goes to the graphics card as it is.
 */
export class Motion {
  ids: string[] = [];
  places = new Float32Array(0);
  /** City seconds since when this page has seen a driver in its present state, with whether it saw the change. */
  readonly since = new Map<string, { state: number; since_s: number; seen: boolean }>();
  readonly counts: number[] = LOOKS.map(() => 0);
  private index = new Map<string, number>();
  private frame_ms = -Infinity;
  private glide_ms = 500;

  constructor(readonly origin: Origin) {}

  /** Takes a frame that arrived at `clock_ms`; `glides` is false where motion is not wanted. */
  take(drivers: Drivers, now_s: number, clock_ms: number, glides: boolean): void {
    const t = this.progress(clock_ms);
    const before = this.places;
    const beforeIndex = this.index;
    const after = new Float32Array(drivers.id.length * STRIDE);
    this.index = new Map();
    this.counts.fill(0);
    drivers.id.forEach((id, i) => {
      this.index.set(id, i);
      this.put(after, i, drivers);
      const j = beforeIndex.get(id);
      if (j !== undefined && glides) glide(before, j, t, after, i);
      this.notice(id, after[i * STRIDE + 6] as number, now_s);
    });
    this.forget();
    this.ids = drivers.id;
    this.places = after;
    this.pace(clock_ms);
  }

  /** How far the glide of the newest frame has come, 0…1. */
  progress(clock_ms: number): number {
    return Math.min(1, Math.max(0, (clock_ms - this.frame_ms) / this.glide_ms));
  }

  indexOf(id: string): number | undefined {
    return this.index.get(id);
  }

  /** Mercator place of driver `i`, relative to the origin. */
  at(i: number, t: number): Origin {
    const k = i * STRIDE;
    const p = this.places;
    return {
      x: mix(p[k] as number, p[k + 2] as number, t),
      y: mix(p[k + 1] as number, p[k + 3] as number, t),
    };
  }

  stateAt(i: number): number {
    return this.places[i * STRIDE + 6] as number;
  }

  /** The nearest shown driver within `reach` (mercator units) of a place relative to the origin. */
  nearest(place: Origin, reach: number, t: number, isShown: (state: number) => boolean): { i: number; distance: number } | null {
    let best: { i: number; distance: number } | null = null;
    for (let i = 0; i < this.ids.length; i++) {
      if (!isShown(this.stateAt(i))) continue;
      const { x, y } = this.at(i, t);
      const distance = Math.hypot(x - place.x, y - place.y);
      if (distance <= reach && (!best || distance < best.distance)) best = { i, distance };
    }
    return best;
  }

  private put(after: Float32Array, i: number, drivers: Drivers): void {
    const { x, y } = mercator(drivers.lat_deg[i] as number, drivers.lng_deg[i] as number);
    const heading_deg = drivers.heading_deg[i] ?? null;
    const heading = ((heading_deg ?? 0) * Math.PI) / 180;
    const state = stateIndex(drivers.state[i] as Drivers["state"][number]);
    const dx = eastward(this.origin.x, x);
    const dy = y - this.origin.y;
    after.set([dx, dy, dx, dy, heading, heading, state, heading_deg === null ? 0 : 1], i * STRIDE);
    this.counts[state] = (this.counts[state] ?? 0) + 1;
  }

  private notice(id: string, state: number, now_s: number): void {
    const known = this.since.get(id);
    if (known?.state !== state) this.since.set(id, { state, since_s: now_s, seen: known !== undefined });
  }

  private forget(): void {
    for (const id of this.since.keys()) if (!this.index.has(id)) this.since.delete(id);
  }

  private pace(clock_ms: number): void {
    const gap_ms = clock_ms - this.frame_ms;
    if (gap_ms < GLIDE_MS_MAX) {
      // A little longer than the usual gap, so that network jitter does not stop the animation.
      const target_ms = Math.max(GLIDE_MS_MIN, gap_ms * 1.1);
      this.glide_ms += (target_ms - this.glide_ms) * 0.3;
    }
    this.frame_ms = clock_ms;
  }
}

function glide(before: Float32Array, j: number, t: number, after: Float32Array, i: number): void {
  const b = j * STRIDE;
  const a = i * STRIDE;
  const x = mix(before[b] as number, before[b + 2] as number, t);
  const y = mix(before[b + 1] as number, before[b + 3] as number, t);
  if (Math.hypot((after[a + 2] as number) - x, (after[a + 3] as number) - y) > JUMP) return;
  after[a] = x;
  after[a + 1] = y;
  // A driver without a heading before has none to turn from.
  if (!before[b + 7] || !after[a + 7]) return;
  const from = mix(before[b + 4] as number, before[b + 5] as number, t);
  after[a + 4] = from;
  after[a + 5] = from + shortestTurn(from, after[a + 5] as number);
}

function mix(from: number, to: number, t: number): number {
  return from + (to - from) * t;
}

/** Radians to turn from one heading to another, the short way round. */
export function shortestTurn(from: number, to: number): number {
  const turn = (to - from) % (2 * Math.PI);
  if (turn > Math.PI) return turn - 2 * Math.PI;
  return turn < -Math.PI ? turn + 2 * Math.PI : turn;
}
