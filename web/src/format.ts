/** Formats figures for display. A missing one is a dash, never a zero. */

export const DASH = "–";

export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** 42 s, 3 min 05 s, 1 h 12 min */
export function duration(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds)) return DASH;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
}

export function milliseconds(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return DASH;
  return `${value < 10 ? value.toFixed(1) : count(value)} ms`;
}

export function multiplier(value: number): string {
  return `${value.toFixed(2).replace(/0$/, "")}×`;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}

/** A clock of the city's own time zone, whatever the browser's is. */
export function cityClock(timezone: string): (now_s: number) => { time: string; date: string } {
  const zone = knownZone(timezone);
  const time = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const date = new Intl.DateTimeFormat("en-GB", { timeZone: zone, weekday: "short", day: "numeric", month: "short", year: "numeric" });
  return (now_s) => {
    const moment = new Date(now_s * 1000);
    return { time: time.format(moment), date: date.format(moment) };
  };
}

function knownZone(timezone: string): string {
  try {
    new Intl.DateTimeFormat("en-GB", { timeZone: timezone });
    return timezone;
  } catch {
    return "UTC";
  }
}
