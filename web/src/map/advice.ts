import type { GeoJSONSource, Map as MapLibreMap } from "maplibre-gl";
import type { Frame } from "../contract";
import { cssColour } from "../dom";
import { unrolled } from "../motion";

const SOURCE = "advice";
const LINE = "advice-line";
const END = "advice-end";

/** Dashed lines from idle drivers to where they are advised to wait. */
export class AdviceLines {
  private drawn = "";

  constructor(private readonly map: MapLibreMap) {}

  /** Adds the layers under the layer `before`. */
  addTo(before: string): void {
    const { map } = this;
    map.addSource(SOURCE, { type: "geojson", data: collection([]) });
    const paint = { "line-width": 1.4, "line-opacity": 0.75, "line-dasharray": [2, 2] };
    map.addLayer({ id: LINE, type: "line", source: SOURCE, filter: ["==", ["geometry-type"], "LineString"], paint }, before);
    const ring = { "circle-radius": 3.5, "circle-opacity": 0, "circle-stroke-width": 1.4, "circle-stroke-opacity": 0.75 };
    map.addLayer({ id: END, type: "circle", source: SOURCE, filter: ["==", ["geometry-type"], "Point"], paint: ring }, before);
    this.paint();
  }

  paint(): void {
    this.map.setPaintProperty(LINE, "line-color", cssColour("--idle"));
    this.map.setPaintProperty(END, "circle-stroke-color", cssColour("--idle"));
  }

  take({ advice, drivers }: Frame): void {
    if (!advice) return;
    const row = new Map(drivers.id.map((id, at) => [id, at]));
    const features: GeoJSON.Feature[] = [];
    for (const { driver_id, lat_deg, lng_deg } of advice) {
      const at = row.get(driver_id);
      const from = at === undefined ? undefined : [drivers.lng_deg[at], drivers.lat_deg[at]];
      if (from?.[0] === undefined || from[1] === undefined) continue;
      const to = [unrolled(lng_deg, from[0]), lat_deg];
      features.push(feature({ type: "LineString", coordinates: [[from[0], from[1]], to] }), feature({ type: "Point", coordinates: to }));
    }
    const key = JSON.stringify(features);
    if (key === this.drawn) return;
    this.drawn = key;
    this.map.getSource<GeoJSONSource>(SOURCE)?.setData(collection(features));
  }
}

function feature(geometry: GeoJSON.Geometry): GeoJSON.Feature {
  return { type: "Feature", properties: {}, geometry };
}

function collection(features: GeoJSON.Feature[]): GeoJSON.FeatureCollection {
  return { type: "FeatureCollection", features };
}
