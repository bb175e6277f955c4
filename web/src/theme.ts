export type Theme = "dark" | "light";

const KEY = "hexhail.theme";

/** Dark or light: what the operator chose here before, else what the system asks for, and it follows the system. */
export class ThemeSwitch {
  private readonly system = matchMedia("(prefers-color-scheme: light)");
  private readonly listeners: ((theme: Theme) => void)[] = [];

  constructor() {
    this.system.addEventListener("change", () => this.apply());
    this.apply();
  }

  get theme(): Theme {
    const chosen = localStorage.getItem(KEY);
    if (chosen === "dark" || chosen === "light") return chosen;
    return this.system.matches ? "light" : "dark";
  }

  onChange(listener: (theme: Theme) => void): void {
    this.listeners.push(listener);
  }

  toggle(): void {
    localStorage.setItem(KEY, this.theme === "dark" ? "light" : "dark");
    this.apply();
  }

  private apply(): void {
    document.documentElement.dataset.theme = this.theme;
    for (const listener of this.listeners) listener(this.theme);
  }
}
