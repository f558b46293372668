/** `SubscriptionCard`: the plan and what it will charge next. */

import type { ReactNode } from "react";
import { useFormat, useMessages } from "../context.js";
import { describeError } from "../errors.js";
import { labelOf } from "../labels.js";
import { useOpenPortal } from "../queries/checkout.js";
import { type SubscriptionRow, useSubscription } from "../queries/money.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { Badge, EmptyState, Notice, type Tone } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { ForRole } from "./for_role.js";
import { endOf, nextCharge } from "./subscription_state.js";

const TONES: Readonly<Record<string, Tone>> = {
  trialing: "neutral",
  active: "success",
  past_due: "danger",
  unpaid: "danger",
  incomplete: "warning",
  paused: "warning",
};

export interface SubscriptionCardProps {
  className?: string;
  /** What stands at the right of the title. */
  actions?: ReactNode;
  /** What stands below the plan, for people who may see it. */
  children?: ReactNode;
}

/** The organization's plan, for people who may see its money. */
export function SubscriptionCard({ className = "", actions, children }: SubscriptionCardProps): ReactNode {
  const messages = useMessages();
  return (
    <Card title={messages.subscription.title} className={className} actions={actions}>
      <ForRole may={(rights) => rights.canSeeMoney} note={messages.states.noPermissionMoney}>
        {() => <CurrentPlan>{children}</CurrentPlan>}
      </ForRole>
    </Card>
  );
}

function CurrentPlan({ children }: { children: ReactNode }): ReactNode {
  const { subscription: texts } = useMessages();
  return (
    <QueryState
      query={useSubscription()}
      skeletonLines={3}
      isEmpty={(row) => row === null}
      empty={<EmptyState title={texts.none} note={texts.noneNote} />}
    >
      {(row) => (row === null ? null : <Plan subscription={row}>{children}</Plan>)}
    </QueryState>
  );
}

function Plan({ subscription, children }: { subscription: SubscriptionRow; children: ReactNode }): ReactNode {
  const { subscription: texts, plans } = useMessages();
  const format = useFormat();
  const { plan, next_plan: nextPlan, status } = subscription;
  const price = subscription.unit_amount ?? plan?.unit_amount ?? 0;
  const currency = subscription.currency ?? plan?.currency ?? "usd";
  const isEnding = status === "active" && endOf(subscription) !== null;
  // With a change planned, the price agreed is that of the next plan already.
  const present = nextPlan === null ? price : (plan?.unit_amount ?? price);
  return (
    <div className="space-y-3 text-sm">
      <div className="flex flex-wrap items-center gap-2">
        <span className="text-lg font-semibold">{plan?.name ?? texts.none}</span>
        <Badge tone={isEnding ? "warning" : (TONES[status] ?? "neutral")}>
          {isEnding ? texts.canceling : labelOf(texts.status, status)}
        </Badge>
      </div>
      <p className="text-muted-foreground">
        {present === 0
          ? texts.free
          : plans.price(
              format.money(present, currency),
              labelOf(plans.per, plan?.billing_interval ?? "month"),
            )}
        {plan === null ? null : (
          <span className="block">{texts.creditsPerPeriod(format.credits(plan.credits_per_period))}</span>
        )}
      </p>
      <ChargeLine subscription={subscription} price={price} currency={currency} />
      {nextPlan === null || subscription.current_period_end === null ? null : (
        <p>{texts.nextPlan(nextPlan.name, format.date(subscription.current_period_end))}</p>
      )}
      <div className="flex flex-wrap gap-2">
        {subscription.stripe_subscription_id === null ? null : <PortalButton />}
        {children}
      </div>
    </div>
  );
}

function ChargeLine({
  subscription,
  price,
  currency,
}: {
  subscription: SubscriptionRow;
  price: number;
  currency: string;
}): ReactNode {
  const { subscription: texts } = useMessages();
  const format = useFormat();
  const charge = nextCharge(subscription, price);
  if (charge === null) return null;
  const date = charge.at === null ? null : format.date(charge.at);
  const amount = charge.amount === null ? null : format.money(charge.amount, currency);
  const detail = date === null || amount === null ? (date ?? amount) : texts.chargeDetail(amount, date);
  return (
    <dl className="border-t pt-3">
      <dt className="text-xs text-muted-foreground">{texts[charge.label]}</dt>
      <dd className="mt-0.5 font-medium tabular-nums">{detail}</dd>
    </dl>
  );
}

/** Opens Stripe's customer portal: cards, addresses, cancelling. `isForCards` opens it where a card is replaced. */
export function PortalButton({ isForCards = false }: { isForCards?: boolean }): ReactNode {
  const messages = useMessages();
  const portal = useOpenPortal(isForCards ? "payment_method_update" : undefined);
  return (
    <div className="space-y-2">
      <Button onClick={() => portal.mutate()} disabled={portal.isPending || portal.isSuccess}>
        {portal.isPending
          ? messages.states.loading
          : isForCards
            ? messages.plans.manageCards
            : messages.subscription.manage}
      </Button>
      {portal.error === null ? null : (
        <Notice tone="danger" isAlert>
          {describeError(portal.error, messages)}
        </Notice>
      )}
    </div>
  );
}
