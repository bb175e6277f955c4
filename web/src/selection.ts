import type { Frame, OpenRequest } from "./contract";
import * as format from "./format";
import { eastward, latLng, type Motion, mercator } from "./motion";
import { ringRadius_px } from "./rings";
import { LOOKS } from "./states";

/** A driver or request on the map. */
export interface Subject {
  kind: "driver" | "request";
  id: string;
}

/** The current position of a subject and the text of its card. */
export interface Sight {
  lat_deg: number;
  lng_deg: number;
  title: string;
  rows: [string, string][];
  colour: string;
  /** Of the mark on the map at full size. */
  radius_px: number;
}

/** Looks up subjects in the newest frame, by place or by id. */
export class Sights {
  private requests: readonly OpenRequest[] = [];
  private now_s = 0;

  constructor(
    private readonly motion: Motion,
    private readonly progress: () => number,
  ) {}

  take(frame: Frame): void {
    this.requests = frame.requests;
    this.now_s = frame.now_s;
  }

  /** The driver or request within `reach` (mercator units) of a place; where they lie together, the nearer one. */
  near(
    lat_deg: number,
    lng_deg: number,
    reach: number,
    shows: { driver: (state: number) => boolean; requests: boolean },
  ): Subject | null {
    const place = this.relative(lat_deg, lng_deg);
    const driver = this.motion.nearest(place, reach, this.progress(), shows.driver);
    let nearest_distance = driver?.distance ?? reach;
    let found: Subject | null = driver ? { kind: "driver", id: this.motion.ids[driver.i] as string } : null;
    for (const request of shows.requests ? this.requests : []) {
      const { x, y } = this.relative(request.lat_deg, request.lng_deg);
      const distance = Math.hypot(x - place.x, y - place.y);
      if (distance > nearest_distance) continue;
      nearest_distance = distance;
      found = { kind: "request", id: request.ride_id };
    }
    return found;
  }

  /** The subject an operator typed the id of, or the beginning of it. */
  named(text: string): Subject | null {
    const id = text.trim().toLowerCase();
    if (!id) return null;
    const ids: Subject[] = [
      ...this.motion.ids.map((driver): Subject => ({ kind: "driver", id: driver })),
      ...this.requests.map((request): Subject => ({ kind: "request", id: request.ride_id })),
    ];
    return ids.find((subject) => subject.id.toLowerCase() === id) ?? ids.find((subject) => subject.id.toLowerCase().startsWith(id)) ?? null;
  }

  /** Null if the subject is no longer in the frame. */
  see(subject: Subject): Sight | null {
    return subject.kind === "driver" ? this.seeDriver(subject.id) : this.seeRequest(subject.id);
  }

  private seeDriver(id: string): Sight | null {
    const i = this.motion.indexOf(id);
    if (i === undefined) return null;
    const { x, y } = this.motion.at(i, this.progress());
    const [lat_deg, lng_deg] = latLng(x + this.motion.origin.x, y + this.motion.origin.y);
    const look = LOOKS[this.motion.stateAt(i)] ?? LOOKS[0]!;
    const since = this.motion.since.get(id);
    const age = since ? format.duration(this.now_s - since.since_s) : format.DASH;
    return {
      lat_deg,
      lng_deg,
      title: id,
      colour: look.colour,
      radius_px: look.size_px / 2,
      // A change seen by this page is exact; of the state a driver already had, the page knows only a lower bound.
      rows: [["Driver", look.label], ["In this state", since && !since.seen ? `at least ${age}` : age]],
    };
  }

  private seeRequest(id: string): Sight | null {
    const request = this.requests.find(({ ride_id }) => ride_id === id);
    if (!request) return null;
    return {
      lat_deg: request.lat_deg,
      lng_deg: request.lng_deg,
      title: id,
      colour: "--request",
      radius_px: ringRadius_px(this.now_s - request.requested_s),
      rows: [
        ["Request", request.state === "OFFERED" ? "Offered to a driver" : "Waiting for a driver"],
        ["Open for", format.duration(this.now_s - request.requested_s)],
      ],
    };
  }

  private relative(lat_deg: number, lng_deg: number): { x: number; y: number } {
    const { x, y } = mercator(lat_deg, lng_deg);
    return { x: eastward(this.motion.origin.x, x), y: y - this.motion.origin.y };
  }
}
