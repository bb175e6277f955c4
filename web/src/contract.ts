/** Types of the server's responses. Units are in the names; order is always latitude, longitude. */

/** `DriverState` of `kernel/supply.py` without OFFLINE, which is not shown. */
export type DriverState = "IDLE" | "OFFERED" | "TO_PICKUP" | "AT_PICKUP" | "ON_TRIP" | "STALE";

export type RequestState = "REQUESTED" | "OFFERED";

/** `GET /v1/ops/city` */
export interface City {
  region_id: string;
  name: string;
  timezone: string;
  bounds_deg: { south: number; west: number; north: number; east: number };
  currency: string;
  /** Decimals of the currency by ISO 4217: 2 of USD, 0 of JPY. What browsers know (CLDR) differs for 16 currencies. */
  minor_unit_digits: number;
  attribution: string;
  /** City seconds per second of ours. */
  speed: number;
}

/** `GET /v1/ops/city/roads`: one LineString per undirected road segment. */
export type Roads = GeoJSON.FeatureCollection<GeoJSON.LineString, { speed_kmh: number }>;

/** Equal-length arrays, one place per driver. */
export interface Drivers {
  id: string[];
  lat_deg: number[];
  lng_deg: number[];
  heading_deg: (number | null)[];
  state: DriverState[];
}

export interface OpenRequest {
  ride_id: string;
  state: RequestState;
  lat_deg: number;
  lng_deg: number;
  requested_s: number;
}

export interface SurgeCell {
  cell: string;
  multiplier: number;
}

/** `GET /v1/ops/surge/history`: one change of a cell's price, with what it was decided on. */
export interface SurgeChange {
  at_s: number;
  multiplier: number;
  multiplier_before: number;
  /** The reason in words. */
  words: string;
  requests: number;
  quotes: number;
  /** Idle drivers within reach of the cell. */
  supply: number;
  target: number;
  bounds: { bound: string; words: string }[];
  version: string;
}

export interface Figures {
  drivers_online: number;
  drivers_idle: number;
  drivers_busy: number;
  requests_open: number;
  rides_completed: number;
  rides_cancelled: number;
  rides_expired: number;
  pickup_wait_mean_s: number | null;
  pickup_wait_p95_s: number | null;
  oldest_request_age_s: number | null;
  pings_per_s: number;
  round_ms_p50: number | null;
  round_ms_p99: number | null;
  surge_max: number;
  /** Wall seconds that the figures of rides may be old; absent in a replay. */
  rides_age_s?: number;
}

/** One picture of the city. `now_s` is the city's clock in Unix seconds. */
export interface Frame {
  type: "frame";
  now_s: number;
  drivers: Drivers;
  requests: OpenRequest[];
  surge: SurgeCell[];
  /** Where idle drivers are advised to wait; absent in replays. */
  advice?: { driver_id: string; lat_deg: number; lng_deg: number }[];
  figures: Figures;
}

/** `application/problem+json` */
export interface Problem {
  type?: string;
  title: string;
  status: number;
  code?: string;
  detail?: string;
  hint?: string;
}

export const STREAM_PATH = "/v1/ops/stream";
export const STREAM_PROTOCOL = "hexhail.v1";

/** Close codes after which trying again with the same token is pointless. */
export const CLOSED_UNAUTHENTICATED = 4401;
export const CLOSED_FORBIDDEN = 4403;
