/** Types of the responses of `hexhail replay`. Times are milliseconds since the beginning of the run. */
import type { City, DriverState } from "../contract";

export type RideEnd = "completed" | "cancelled" | "expired";

/** Equal-length arrays, one place per ride, in the order of their requests. */
export interface Rides {
  ride_id: string[];
  lat_deg: number[];
  lng_deg: number[];
  t_ms: number[];
  picked_ms: (number | null)[];
  ended_ms: (number | null)[];
  end: (RideEnd | null)[];
  /** t_ms, openness, t_ms, openness, …: 0 closed, 1 waiting for a driver, 2 offered to one. */
  open: number[][];
}

/** `GET /v1/replay/run` */
export interface Run {
  city: City;
  begin_s: number;
  end_s: number;
  drivers: string[];
  /** What the numbers in `Tracks.state` mean: each is a place in here. */
  driver_states: DriverState[];
  rides: Rides;
}

/** `GET /v1/replay/prices`: changes of surge multipliers in their order; `at` is a place in `cell`. */
export interface Prices {
  cell: string[];
  t_ms: number[];
  at: number[];
  multiplier: number[];
}

/** `GET /v1/replay/events?subject=…`: one event as the service publishes it. */
export interface RideEvent {
  event: string;
  ride_id: string;
  sequence: number;
  at_s: number;
  driver_id?: string | null;
  pickup_eta_s?: number;
  fare_cents?: number;
  currency?: string;
  reason?: string | null;
  by?: string;
}

/** Corners of all drivers, as of `Tracks` in `simulator/streets/tracks.py`. */
export interface Tracks {
  offset: Int32Array;
  t_ms: Int32Array;
  lat_e6: Int32Array;
  lng_e6: Int32Array;
  state: Uint8Array;
}

/** `GET /v1/replay/tracks`: n and p, offset (n + 1), t_ms, lat_e6, lng_e6 (p each), state (p). */
export function unpack(bytes: ArrayBuffer): Tracks {
  const [drivers = 0, corners = 0] = new Uint32Array(bytes, 0, 2);
  let at = 8;
  const column = (length: number) => {
    const values = new Int32Array(bytes, at, length);
    at += 4 * length;
    return values;
  };
  const [offset, t_ms, lat_e6, lng_e6] = [column(drivers + 1), column(corners), column(corners), column(corners)];
  return { offset, t_ms, lat_e6, lng_e6, state: new Uint8Array(bytes, at, corners) } as Tracks;
}
