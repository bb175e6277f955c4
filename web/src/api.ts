import type { City, Problem, Roads, SurgeChange } from "./contract";

/** A failed request, with a message that tells the operator what to do. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.title);
  }

  get isAboutToken(): boolean {
    return this.problem.status === 401 || this.problem.status === 403;
  }
}

export class Api {
  constructor(private readonly token: string) {}

  city(): Promise<City> {
    return this.get<City>("/v1/ops/city");
  }

  roads(): Promise<Roads> {
    return this.get<Roads>("/v1/ops/city/roads");
  }

  /** The last changes of a cell's price, the newest first. */
  async surgeHistory(cell: string, limit: number): Promise<SurgeChange[]> {
    const { changes } = await this.get<{ changes: SurgeChange[] }>(`/v1/ops/surge/history?cell=${encodeURIComponent(cell)}&limit=${limit}`);
    return changes;
  }

  private async get<T>(path: string): Promise<T> {
    let response: Response;
    try {
      response = await fetch(path, { headers: { Authorization: `Bearer ${this.token}` } });
    } catch {
      throw new ProblemError({
        title: "The city does not answer",
        status: 0,
        hint: "Is it still running? This page tries again by itself.",
      });
    }
    if (!response.ok) throw new ProblemError(await readProblem(response));
    return (await response.json()) as T;
  }
}

async function readProblem(response: Response): Promise<Problem> {
  const fallback: Problem = { title: `The server answered ${response.status}`, status: response.status };
  if (!response.headers.get("content-type")?.includes("json")) return fallback;
  try {
    return { ...fallback, ...((await response.json()) as Partial<Problem>), status: response.status };
  } catch {
    return fallback;
  }
}
