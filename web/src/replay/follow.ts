import type { Card } from "../card";
import type { CityMap } from "../map/city-map";
import { unrolled } from "../motion";
import type { Subject } from "../selection";
import type { RideEvent, Run } from "./contract";
import type { Trail } from "./trail";
import { type Span, spansOf } from "./trace";

const EDGE_PX = 40;

/** Shows the traced ride or driver on the map: its track, and a card that follows the driver or waiting rider. */
export class Follow {
  private ride: { id: string; spans: Span[] } | null = null;
  private readonly drivers: ReadonlySet<string>;

  constructor(
    private readonly run: Run,
    private readonly map: CityMap,
    private readonly card: Card,
    private readonly trail: Trail,
  ) {
    this.drivers = new Set(run.drivers);
  }

  /** Begins to follow a ride or driver with these events; `bring` moves the map to it, which lies `beside` the list of them. */
  show(name: string, events: readonly RideEvent[], t_ms: number, bring: boolean, beside: HTMLElement): void {
    if (this.drivers.has(name)) {
      this.ride = null;
      this.trail.showDriver(name, t_ms);
      this.card.pick({ kind: "driver", id: name });
      if (bring) this.card.show({ kind: "driver", id: name });
      return;
    }
    this.ride = { id: name, spans: spansOf(events, this.run.begin_s, this.run.end_s) };
    this.trail.showRide(this.ride.spans);
    this.at(t_ms, true);
    if (bring) this.bring(name, beside);
  }

  at(t_ms: number, isJump: boolean): void {
    this.trail.at(t_ms, performance.now(), isJump);
    if (this.ride) this.card.pick(subjectOf(this.ride, t_ms));
  }

  hide(): void {
    this.ride = null;
    this.card.pick(null);
    this.trail.hide();
  }

  /** The whole ride in what the list leaves of the map. */
  private bring(ride: string, beside: HTMLElement): void {
    const { rides } = this.run;
    const i = rides.ride_id.indexOf(ride);
    const places = [[rides.lng_deg[i] as number, rides.lat_deg[i] as number], ...this.trail.shown.flatMap((stretch) => stretch.places.map((place) => [...place]))];
    const first = places[0]![0] as number;
    for (const place of places) place[0] = unrolled(place[0] as number, first);
    const [lng, lat] = [0, 1].map((axis) => places.map((place) => place[axis] as number)) as [number[], number[]];
    const { width, height } = beside.getBoundingClientRect();
    const isSheet = width > innerWidth * 0.7;
    const padding = { top: EDGE_PX, left: EDGE_PX, right: isSheet ? EDGE_PX : width + EDGE_PX, bottom: isSheet ? height + EDGE_PX : EDGE_PX };
    const box: [number, number, number, number] = [Math.min(...lng), Math.min(...lat), Math.max(...lng), Math.max(...lat)];
    this.map.map.fitBounds(box, { padding, maxZoom: 15.5, animate: this.map.glides });
  }
}

function subjectOf({ id, spans }: { id: string; spans: readonly Span[] }, t_ms: number): Subject {
  const span = spans.find(({ from_ms, to_ms }) => from_ms <= t_ms && t_ms < to_ms);
  return span ? { kind: "driver", id: span.driver } : { kind: "request", id };
}
