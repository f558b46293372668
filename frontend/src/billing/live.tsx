/**
 * Keeps figures current: a broadcast on the organization's private topic where Realtime runs, polling otherwise.
 *
 * A message says only that something moved; what moved is read again under the person's own rights. The ledger announces at most
 * once a second, at the leading edge, so a second read follows 1.2 s after each message and catches what came in between.
 */

import { type QueryClient, useQuery, useQueryClient } from "@tanstack/react-query";
import {
  createContext,
  type ReactNode,
  useContext,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { answerOf } from "./client.js";
import { useBilling } from "./context.js";
import { queryKey, type Topic } from "./query_keys.js";

/** `live`: told of changes at once; `polling`: looks every few seconds; `offline`: the browser has no network. */
export type Connection = "live" | "polling" | "offline";

const SECOND_READ_MS = 1_200;
const POLL_WITHOUT_CHANNEL_MS = 2_500;
const POLL_WITH_CHANNEL_MS = 15_000;
const TOPICS_OF_EVENT: Readonly<Record<string, readonly Topic[]>> = {
  ledger_changed: ["ledger"],
  money_changed: ["money", "ledger"],
  approval_requested: ["approvals"],
  approval_resolved: ["approvals", "ledger"],
};

const ConnectionContext = createContext<Connection>("polling");

/** How current the figures below the nearest `BillingProvider` are kept. */
export function useConnection(): Connection {
  return useContext(ConnectionContext);
}

/** Runs the updates of one organization for everything below it. */
export function LiveUpdates({ children }: { children: ReactNode }): ReactNode {
  const isOnline = useIsOnline();
  const isJoined = useBroadcasts();
  useLedgerPulse(isJoined ? POLL_WITH_CHANNEL_MS : POLL_WITHOUT_CHANNEL_MS);
  useMoneyPoll();
  const connection: Connection = isOnline ? (isJoined ? "live" : "polling") : "offline";
  return <ConnectionContext value={connection}>{children}</ConnectionContext>;
}

/** Listens on the organization's topic; true while the channel is joined. */
function useBroadcasts(): boolean {
  const { client, organizationId } = useBilling();
  const queryClient = useQueryClient();
  const [isJoined, setIsJoined] = useState(false);
  useEffect(() => {
    const timers = new Set<ReturnType<typeof setTimeout>>();
    const refresh = (event: string) => {
      const topics = TOPICS_OF_EVENT[event] ?? [];
      invalidate(queryClient, organizationId, topics);
      const timer = setTimeout(() => {
        timers.delete(timer);
        invalidate(queryClient, organizationId, topics);
      }, SECOND_READ_MS);
      timers.add(timer);
    };
    const channel = client
      .channel(`organization:${organizationId}:billing`, { config: { private: true } })
      .on("broadcast", { event: "*" }, (message) => refresh(message.event));
    void client.realtime.setAuth().then(() =>
      channel.subscribe((status) => {
        setIsJoined(status === "SUBSCRIBED");
        if (status === "SUBSCRIBED")
          invalidate(queryClient, organizationId, ["ledger", "money", "approvals"]);
      }),
    );
    return () => {
      for (const timer of timers) clearTimeout(timer);
      void client.removeChannel(channel);
    };
  }, [client, organizationId, queryClient]);
  return isJoined;
}

/** Reads the number of the ledger's last entry now and then; when it has moved, everything that follows the ledger is read again. */
function useLedgerPulse(interval: number): void {
  const { schema, organizationId } = useBilling();
  const queryClient = useQueryClient();
  const pulse = useQuery({
    queryKey: ["billing", organizationId, "pulse"],
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("credit_balances")
          .select("sequence, available::text, restricted_reason")
          .eq("organization_id", organizationId)
          .abortSignal(signal)
          .maybeSingle(),
      ),
    refetchInterval: interval,
    staleTime: 0,
  });
  const current = pulse.data === undefined ? undefined : JSON.stringify(pulse.data);
  const seen = useRef<string>(undefined);
  useEffect(() => {
    if (current === undefined) return;
    if (seen.current !== undefined && seen.current !== current) {
      invalidate(queryClient, organizationId, ["ledger", "money"]);
    }
    seen.current = current;
  }, [current, organizationId, queryClient]);
}

/** Payments and approvals change without the ledger (a declined card, say): they are looked at slowly, in any case. */
function useMoneyPoll(): void {
  const { organizationId } = useBilling();
  const queryClient = useQueryClient();
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.visibilityState === "visible")
        invalidate(queryClient, organizationId, ["money", "approvals"]);
    }, POLL_WITH_CHANNEL_MS);
    return () => clearInterval(timer);
  }, [organizationId, queryClient]);
}

function invalidate(queryClient: QueryClient, organizationId: string, topics: readonly Topic[]): void {
  for (const topic of topics)
    void queryClient.invalidateQueries({ queryKey: queryKey(organizationId, topic) });
}

function useIsOnline(): boolean {
  return useSyncExternalStore(subscribeToNetwork, () => navigator.onLine);
}

function subscribeToNetwork(listener: () => void): () => void {
  window.addEventListener("online", listener);
  window.addEventListener("offline", listener);
  return () => {
    window.removeEventListener("online", listener);
    window.removeEventListener("offline", listener);
  };
}
