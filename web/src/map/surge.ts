import { cellToBoundary, getResolution, isValidCell, latLngToCell } from "h3-js";
import type { ExpressionSpecification, GeoJSONSource, Map as MapLibreMap } from "maplibre-gl";
import type { SurgeCell } from "../contract";
import { cssColour } from "../dom";
import * as format from "../format";
import { unrolled } from "../motion";

const SOURCE = "surge";
/** The multiplier with the deepest colour; higher ones are rare, and their label shows the number. */
const DEEPEST = 2.5;

/** Surge cells as translucent hexagons: one hue above 1, another below, nothing at 1. */
export class SurgeCells {
  private multipliers = new Map<string, number>();
  private resolution = 8;
  private drawn = "";

  constructor(private readonly map: MapLibreMap) {}

  /** Adds the layers under the layer `before`. */
  addTo(before: string): void {
    const { map } = this;
    map.addSource(SOURCE, { type: "geojson", data: collection([]) });
    map.addLayer({ id: "surge-fill", type: "fill", source: SOURCE, paint: { "fill-opacity": depth(0.1, 0.42) } }, before);
    map.addLayer({ id: "surge-line", type: "line", source: SOURCE, paint: { "line-width": 1, "line-opacity": depth(0.3, 0.8) } }, before);
    map.addLayer(
      { id: "surge-label", type: "symbol", source: SOURCE, minzoom: 12.6, layout: { "icon-image": ["get", "label"], "icon-padding": 4 } },
      before,
    );
    this.paint();
  }

  paint(): void {
    const hue: ExpressionSpecification = ["case", [">", ["get", "multiplier"], 1], cssColour("--surge"), cssColour("--surge-below")];
    this.map.setPaintProperty("surge-fill", "fill-color", hue);
    this.map.setPaintProperty("surge-line", "line-color", hue);
    for (const label of this.map.listImages().filter((name) => name.endsWith("×"))) this.map.updateImage(label, drawLabel(label));
  }

  take(cells: readonly SurgeCell[]): void {
    const key = cells.map(({ cell, multiplier }) => `${cell}${multiplier}`).join();
    if (key === this.drawn) return;
    this.drawn = key;
    const valid = cells.filter(({ cell, multiplier }) => multiplier !== 1 && isValidCell(cell));
    this.multipliers = new Map(valid.map(({ cell, multiplier }) => [cell, multiplier]));
    if (valid[0]) this.resolution = getResolution(valid[0].cell);
    this.drawLabels();
    this.map.getSource<GeoJSONSource>(SOURCE)?.setData(collection(valid));
  }

  /** The multiplier in force at a place, or null where there is none of note. */
  at(lat_deg: number, lng_deg: number): { cell: string; multiplier: number } | null {
    if (this.multipliers.size === 0) return null;
    const cell = latLngToCell(lat_deg, lng_deg, this.resolution);
    const multiplier = this.multipliers.get(cell);
    return multiplier === undefined ? null : { cell, multiplier };
  }

  /** The multiplier in force in a cell. */
  of(cell: string): number {
    return this.multipliers.get(cell) ?? 1;
  }

  setShown(shown: boolean): void {
    for (const layer of ["surge-fill", "surge-line", "surge-label"])
      this.map.setLayoutProperty(layer, "visibility", shown ? "visible" : "none");
  }

  /** Draws labels as images, since a text layer would need glyphs from a server. */
  private drawLabels(): void {
    for (const multiplier of new Set(this.multipliers.values())) {
      const label = format.multiplier(multiplier);
      if (!this.map.hasImage(label)) this.map.addImage(label, drawLabel(label), { pixelRatio: 2 });
    }
  }
}

function depth(least: number, most: number): ExpressionSpecification {
  return ["interpolate", ["linear"], ["abs", ["-", ["get", "multiplier"], 1]], 0, least, DEEPEST - 1, most];
}

function drawLabel(text: string): ImageData {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [88, 36];
  const pen = canvas.getContext("2d");
  if (!pen) throw new Error("this browser gives no canvas to draw on");
  pen.font = "600 24px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  pen.lineWidth = 6;
  pen.strokeStyle = cssColour("--land");
  pen.fillStyle = cssColour("--ink");
  pen.strokeText(text, 44, 19);
  pen.fillText(text, 44, 19);
  return pen.getImageData(0, 0, 88, 36);
}

/** [lng, lat] of a cell's corners, in one piece also where it lies on 180°. */
function outline(cell: string): [number, number][] {
  const corners = cellToBoundary(cell, true);
  return corners.map(([lng, lat]) => [unrolled(lng as number, corners[0]![0] as number), lat as number]);
}

function collection(cells: readonly SurgeCell[]): GeoJSON.FeatureCollection {
  return {
    type: "FeatureCollection",
    features: cells.map(({ cell, multiplier }) => ({
      type: "Feature",
      properties: { multiplier, label: format.multiplier(multiplier) },
      geometry: { type: "Polygon", coordinates: [outline(cell)] },
    })),
  };
}
