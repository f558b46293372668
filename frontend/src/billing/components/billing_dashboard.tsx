/** `BillingDashboard`: everything about an organization's credits and money, in tabs. */

import { lazy, type ReactNode, Suspense, useRef, useState } from "react";
import { useMessages } from "../context.js";
import { type Connection, useConnection } from "../live.js";
import { useCreditBalance } from "../queries/balance.js";
import { useCheapestAction } from "../queries/catalogue.js";
import { useRights } from "../queries/membership.js";
import { Button } from "../ui/button.js";
import { Skeleton } from "../ui/feedback.js";
import { Tabs } from "../ui/tabs.js";
import { BillingNotices } from "./billing_notices.js";
import { CreditBalance } from "./credit_balance.js";
import { CreditPackages, PayHere, usePurchase } from "./credit_packages.js";
import { CreditUsageChart } from "./credit_usage_chart.js";
import { InvoiceList } from "./invoice_list.js";
import { Ledger } from "./ledger.js";
import { PaymentHistory } from "./payment_history.js";
import { Paywall } from "./paywall.js";
import { type PaywallFacts, paywallOfBalance } from "./paywall_facts.js";
import { SubscriptionCard } from "./subscription_card.js";

export const DASHBOARD_TABS = ["overview", "usage", "activity", "plan", "invoices", "settings"] as const;
export type DashboardTab = (typeof DASHBOARD_TABS)[number];

const ActivityTab = lazy(() => import("./activity_tab.js"));
const LimitsTab = lazy(() => import("./limits_tab.js"));
const PlanTab = lazy(() => import("./plan_tab.js"));

const RECENT_PAYMENTS = 5;
const LOADING_LINES = 6;

export interface BillingDashboardProps {
  /** The tab shown, when the host keeps it (in its address, say). */
  tab?: DashboardTab;
  onTabChange?: (tab: DashboardTab) => void;
  /** The person came by the link of a refused agent (`topup_url`): packs come first. */
  isTopUpAsked?: boolean;
}

/** The dashboard. Needs a `BillingProvider` above it. */
export function BillingDashboard({
  tab,
  onTabChange,
  isTopUpAsked = false,
}: BillingDashboardProps): ReactNode {
  const { dashboard, states } = useMessages();
  const [ownTab, setOwnTab] = useState<DashboardTab>("overview");
  const show = onTabChange ?? setOwnTab;
  const contents: Readonly<Record<DashboardTab, ReactNode>> = {
    overview: <Overview onShow={show} isTopUpAsked={isTopUpAsked} />,
    usage: <CreditUsageChart />,
    activity: <ActivityTab />,
    plan: <PlanTab />,
    invoices: <Invoices />,
    settings: <LimitsTab />,
  };
  return (
    <Tabs
      look="pill"
      label={dashboard.label}
      value={tab ?? ownTab}
      onValueChange={(value) => show(DASHBOARD_TABS.find((known) => known === value) ?? "overview")}
      aside={<ConnectionState connection={useConnection()} />}
      tabs={DASHBOARD_TABS.map((value) => ({
        value,
        label: dashboard.tabs[value],
        content: (
          <Suspense fallback={<Skeleton lines={LOADING_LINES} label={states.loading} />}>
            {contents[value]}
          </Suspense>
        ),
      }))}
    />
  );
}

function ConnectionState({ connection }: { connection: Connection }): ReactNode {
  const messages = useMessages();
  const colours: Readonly<Record<Connection, string>> = {
    live: "bg-success",
    polling: "bg-warning",
    offline: "bg-danger",
  };
  return (
    <p role="status" className="flex items-center gap-2 text-xs text-muted-foreground">
      <span aria-hidden="true" className={`size-2 rounded-full ${colours[connection]}`} />
      {messages.connection[connection]}
    </p>
  );
}

interface OverviewProps {
  onShow: (tab: DashboardTab) => void;
  isTopUpAsked: boolean;
}

/** Null: no paywall; undefined: not known yet. */
function usePaywall(isTopUpAsked: boolean): PaywallFacts | null | undefined {
  const balance = useCreditBalance();
  const cheapest = useCheapestAction();
  if (balance.data === undefined || cheapest.data === undefined) {
    return balance.isError || cheapest.isError ? null : undefined;
  }
  const facts = paywallOfBalance(balance.data, cheapest.data);
  return facts ?? (isTopUpAsked ? { kind: "asked", available: balance.data.available } : null);
}

function Overview({ onShow, isTopUpAsked }: OverviewProps): ReactNode {
  const messages = useMessages();
  const rights = useRights();
  const packages = useRef<HTMLDivElement>(null);
  const paywall = usePaywall(isTopUpAsked);
  const purchase = usePurchase();
  const canBuy = rights.data?.canBuy ?? false;
  const showPackages = () => {
    packages.current?.scrollIntoView({ block: "start" });
    packages.current
      ?.querySelector<HTMLButtonElement>("button:not(:disabled)")
      ?.focus({ preventScroll: true });
  };
  const seeAll = (tab: DashboardTab) => (
    <Button variant="quiet" className="-my-1.5 -mr-3" onClick={() => onShow(tab)}>
      {messages.dashboard.seeAll}
    </Button>
  );
  return (
    <div className="grid grid-cols-1 gap-4 lg:grid-cols-3">
      <div className="space-y-4 empty:hidden lg:col-span-3">
        <BillingNotices onShowApprovals={() => onShow("settings")} />
      </div>
      {purchase.paying === null ? null : (
        <PayHere pack={purchase.paying} onClose={purchase.close} className="lg:col-span-3" />
      )}
      {paywall == null || purchase.paying !== null ? null : (
        <div ref={packages} className="scroll-mt-4 lg:col-span-3">
          <Paywall facts={paywall} purchase={purchase} />
        </div>
      )}
      <CreditBalance className="lg:col-span-2" onTopUp={canBuy ? showPackages : undefined} />
      <SubscriptionCard
        actions={
          canBuy ? (
            <Button variant="quiet" className="-my-1.5 -mr-3" onClick={() => onShow("plan")}>
              {messages.plans.seePlans}
            </Button>
          ) : undefined
        }
      />
      <CreditUsageChart isCompact className="lg:col-span-3" actions={seeAll("usage")} />
      {paywall !== null || !canBuy || purchase.paying !== null ? null : (
        <div ref={packages} className="scroll-mt-4 lg:col-span-3">
          <CreditPackages purchase={purchase} />
        </div>
      )}
      <Ledger isCompact className="lg:col-span-3" actions={seeAll("activity")} />
      {canBuy ? (
        <PaymentHistory
          className="lg:col-span-3"
          title={messages.dashboard.recentPayments}
          limit={RECENT_PAYMENTS}
          actions={seeAll("invoices")}
        />
      ) : null}
    </div>
  );
}

function Invoices(): ReactNode {
  const rights = useRights();
  return (
    <div className="space-y-4">
      {rights.data?.canSeeMoney === true ? <InvoiceList /> : null}
      <PaymentHistory hasPortal />
    </div>
  );
}
