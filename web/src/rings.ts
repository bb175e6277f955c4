/** A ring is full-grown after this wait; riders are taken to lose patience at about twice of it. */
const FULL_GROWN_S = 300;

/** Area, not radius, grows with the wait: the eye compares areas. */
export function ringRadius_px(age_s: number): number {
  return 7 + 12 * Math.sqrt(Math.min(1, Math.max(0, age_s) / FULL_GROWN_S));
}
