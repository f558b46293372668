/** Calls to the Python workers, which talk to Stripe. */

import { useCallback } from "react";
import { z } from "zod/mini";
import { useBilling } from "./context.js";
import { BillingError, billingErrorFrom } from "./errors.js";

/** A page to send the browser to. */
export const redirectAnswer = z.object({ url: z.url() });

/** Calls a worker by name as the signed-in person. */
export type CallWorker = <Answer>(
  name: string,
  body: Readonly<Record<string, unknown>>,
  shape: z.ZodMiniType<Answer>,
) => Promise<Answer>;

/**
 * Gives the function that calls workers.
 *
 * @returns A function that throws BillingError when the worker refuses, is out of reach or answers something else than `shape`.
 */
export function useWorkers(): CallWorker {
  const { workersUrl, getAccessToken } = useBilling();
  return useCallback(
    async (name, body, shape) => {
      const token = await getAccessToken();
      if (token === null) throw new BillingError("session_expired", 401);
      const response = await post(`${workersUrl}/workers/v1/${name}`, token, body);
      const answer: unknown = await response.json().catch(() => null);
      if (!response.ok) throw billingErrorFrom(answer, response.status);
      const parsed = shape.safeParse(answer);
      if (!parsed.success) throw new BillingError("unexpected", response.status);
      return parsed.data;
    },
    [workersUrl, getAccessToken],
  );
}

async function post(url: string, token: string, body: unknown): Promise<Response> {
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  try {
    return await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  } catch {
    throw new BillingError("network", 0);
  }
}
