import type { GeoJSONSource, Map as MapLibreMap } from "maplibre-gl";
import { cssColour } from "../dom";
import { LOOKS } from "../states";
import type { Recording, Stretch } from "./recording";
import type { Span } from "./trace";

const LAYER = "trail";
/** Length of a driver's trail before the shown time. */
const DRIVER_TRAIL_MS = 20 * 60_000;
/** Shortest interval between redraws of the trail. */
const REDRAW_MS = 200;

/** On the map, the way of what is traced: all of a ride's, or a driver's up to now, each stretch in its state's colour. */
export class Trail {
  shown: readonly Stretch[] = [];
  private driver = "";
  private redrawn_ms = 0;

  constructor(
    private readonly map: MapLibreMap,
    private readonly recording: Recording,
    before: string,
  ) {
    map.addSource(LAYER, { type: "geojson", data: collection([]) });
    const layout = { "line-cap": "round", "line-join": "round" } as const;
    map.addLayer({ id: LAYER, type: "line", source: LAYER, layout, paint: { "line-width": 4, "line-opacity": 0.75 } }, before);
    this.paint();
  }

  paint(): void {
    const colours = LOOKS.flatMap(({ state, colour }) => [state, cssColour(colour)]);
    this.map.setPaintProperty(LAYER, "line-color", ["match", ["get", "state"], ...colours, cssColour("--stale")] as never);
  }

  /** Shows what was driven for a ride. */
  showRide(spans: readonly Span[]): void {
    this.driver = "";
    this.draw(spans.flatMap(({ driver, from_ms, to_ms }) => this.recording.way(driver, from_ms, to_ms)));
  }

  showDriver(driver: string, t_ms: number): void {
    this.driver = driver;
    this.draw(this.recording.way(driver, t_ms - DRIVER_TRAIL_MS, t_ms));
  }

  hide(): void {
    if (this.driver || this.shown.length) this.showRide([]);
  }

  /** Lets a driver's trail follow the driver. */
  at(t_ms: number, clock_ms: number, isJump: boolean): void {
    if (!this.driver || (!isJump && clock_ms - this.redrawn_ms < REDRAW_MS)) return;
    this.redrawn_ms = clock_ms;
    this.showDriver(this.driver, t_ms);
  }

  private draw(stretches: readonly Stretch[]): void {
    this.shown = stretches;
    this.map.getSource<GeoJSONSource>(LAYER)?.setData(collection(stretches));
  }
}

function collection(stretches: readonly Stretch[]): GeoJSON.FeatureCollection {
  return {
    type: "FeatureCollection",
    features: stretches.map(({ state, places }) => ({
      type: "Feature",
      properties: { state },
      geometry: { type: "LineString", coordinates: places },
    })),
  };
}
