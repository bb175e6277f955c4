import { LOOKS, type StateLook } from "../states";

/** Pixels per outline; marks are at most 24 CSS pixels wide, so this is sharp up to a device pixel ratio of 2.6. */
const CELL = 64;

/**
 * All outlines in one picture: first row turning with the driver, second row for drivers without a heading.
 * Red is the body, green the body with its rim; the shader colours both.
 */
export function drawAtlas(): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = CELL * LOOKS.length;
  canvas.height = CELL * 2;
  const pen = canvas.getContext("2d");
  if (!pen) throw new Error("this browser gives no canvas to draw on");
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  LOOKS.forEach((look, column) => {
    drawOutline(pen, look, look.path, column, 0);
    drawOutline(pen, look, look.still, column, 1);
  });
  return canvas;
}

function drawOutline(pen: CanvasRenderingContext2D, look: StateLook, path: string, column: number, row: number): void {
  // The 24-box fills the inner 5/6 of a cell; the rest is room for the rim.
  const scale = (CELL / 24) * (5 / 6);
  pen.setTransform(scale, 0, 0, scale, (column + 1 / 12) * CELL, (row + 1 / 12) * CELL);
  pen.lineJoin = "round";
  const outline = new Path2D(path);
  pen.strokeStyle = pen.fillStyle = "#0f0";
  pen.lineWidth = look.hollow ? 6 : 4;
  pen.stroke(outline);
  pen.fill(outline);
  pen.strokeStyle = pen.fillStyle = "#ff0";
  pen.lineWidth = 3;
  if (look.hollow) pen.stroke(outline);
  else pen.fill(outline);
}
