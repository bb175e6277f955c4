import type { ExpressionSpecification, GeoJSONSource, Map as MapLibreMap, StyleSpecification } from "maplibre-gl";
import type { Roads } from "../contract";
import { cssColour } from "../dom";

const SOURCE = "roads";
/** Where a street ends and an avenue, then a motorway begins; only the drawing depends on it. */
const AVENUE_KMH = 42;
const MOTORWAY_KMH = 65;

/** A style without tiles, glyphs or sprites: the city's own road graph is the map. */
export function emptyStyle(): StyleSpecification {
  return {
    version: 8,
    sources: { [SOURCE]: { type: "geojson", data: { type: "FeatureCollection", features: [] }, tolerance: 0.2 } },
    layers: [
      { id: "land", type: "background" },
      {
        id: "roads",
        type: "line",
        source: SOURCE,
        layout: { "line-cap": "round", "line-join": "round", "line-sort-key": ["get", "speed_kmh"] },
        paint: { "line-width": width() },
      },
    ],
  };
}

export function paintBasemap(map: MapLibreMap): void {
  map.setPaintProperty("land", "background-color", cssColour("--land"));
  map.setPaintProperty("roads", "line-color", byClass(cssColour("--street"), cssColour("--avenue"), cssColour("--motorway")));
}

export function setRoads(map: MapLibreMap, roads: Roads): void {
  map.getSource<GeoJSONSource>(SOURCE)?.setData(roads);
}

function byClass<T extends string | number>(street: T, avenue: T, motorway: T): ExpressionSpecification {
  return ["step", ["coalesce", ["get", "speed_kmh"], 0], street, AVENUE_KMH, avenue, MOTORWAY_KMH, motorway];
}

function width(): ExpressionSpecification {
  return [
    "interpolate", ["exponential", 1.6], ["zoom"],
    10, byClass(0.7, 1, 1.4),
    13, byClass(1.3, 2, 2.8),
    16, byClass(5, 7, 9),
    19, byClass(22, 28, 34),
  ];
}
