/** `PlanPicker`: the plans on offer, the one in force among them, and changing to another. */

import { type ReactNode, useState } from "react";
import { useFormat, useMessages } from "../context.js";
import { describeError } from "../errors.js";
import { labelOf } from "../labels.js";
import { useRights } from "../queries/membership.js";
import { type SubscriptionRow, useHadTrial, useSubscription } from "../queries/money.js";
import { type PlanRow, useBuyPlan, usePlanStep, usePlans } from "../queries/plans.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { Badge, EmptyState, Notice } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { ChangePlan } from "./change_plan.js";
import { isLive, mostRollover, type PlanAction, planAction } from "./plan_state.js";

/** Something a person wants of a plan and still has to confirm. */
interface Wish {
  readonly plan: PlanRow;
  readonly action: PlanAction;
}

/** The plans, each with the one thing that can be done with it. */
export function PlanPicker({ className = "" }: { className?: string }): ReactNode {
  const { plans: texts } = useMessages();
  return (
    <Card title={texts.title} note={texts.intro} className={className}>
      <PlanList />
    </Card>
  );
}

function PlanList(): ReactNode {
  const messages = useMessages();
  const plans = usePlans();
  const subscription = useSubscription();
  const hadTrial = useHadTrial();
  const rights = useRights();
  const buy = useBuyPlan();
  const step = usePlanStep();
  const [wish, setWish] = useState<Wish | null>(null);
  const isKnown = subscription.data !== undefined && hadTrial.data !== undefined;
  const canChange = (rights.data?.canBuy ?? false) && isKnown;
  const present = subscription.data ?? null;
  const choose = (plan: PlanRow, action: PlanAction) => {
    if (action === "subscribe" || action === "trial") buy.mutate(plan.id);
    else if (action === "start_free") step.mutate({ kind: "start_free", planId: plan.id });
    else setWish({ plan, action });
  };
  const error = buy.error ?? step.error;
  const isBusy = buy.isPending || buy.isSuccess || step.isPending;
  return (
    <div className="space-y-3">
      {rights.data === undefined || rights.data.canBuy ? null : (
        <Notice tone="neutral">{messages.plans.notAllowed}</Notice>
      )}
      {error === null ? null : (
        <Notice tone="danger" isAlert>
          {describeError(error, messages)}
        </Notice>
      )}
      <QueryState
        query={plans}
        skeletonLines={4}
        isEmpty={(rows) => rows.length === 0}
        empty={<EmptyState title={messages.plans.empty} note={messages.plans.emptyNote} />}
      >
        {(rows) => (
          <ul className="grid grid-cols-1 gap-3 min-[30rem]:grid-cols-2 xl:grid-cols-4">
            {rows.map((plan) => (
              <PlanOffer
                key={plan.id}
                plan={plan}
                subscription={present}
                action={canChange ? planAction(plan, present, hadTrial.data ?? true) : "none"}
                isBusy={isBusy}
                isOpening={buy.variables === plan.id && (buy.isPending || buy.isSuccess)}
                onChoose={choose}
              />
            ))}
          </ul>
        )}
      </QueryState>
      {wish === null || present === null ? null : (
        <ChangePlan
          plan={wish.plan}
          action={wish.action}
          subscription={present}
          onClose={() => setWish(null)}
        />
      )}
    </div>
  );
}

interface PlanOfferProps {
  plan: PlanRow;
  subscription: SubscriptionRow | null;
  action: PlanAction;
  isBusy: boolean;
  isOpening: boolean;
  onChoose: (plan: PlanRow, action: PlanAction) => void;
}

function PlanOffer({ plan, subscription, action, isBusy, isOpening, onChoose }: PlanOfferProps): ReactNode {
  const { plans: texts } = useMessages();
  const format = useFormat();
  const per = labelOf(texts.per, plan.billing_interval);
  const verb = useVerb(action);
  return (
    <li className="flex flex-col rounded-md border p-4">
      <div className="flex flex-wrap items-center justify-between gap-2">
        <h3 className="font-semibold">{plan.name}</h3>
        <Standing plan={plan} subscription={subscription} />
      </div>
      <p className="mt-1 text-sm text-muted-foreground">{plan.description}</p>
      <p className="mt-3 text-2xl font-semibold tracking-tight tabular-nums">
        {plan.unit_amount === 0 ? texts.free : format.money(plan.unit_amount, plan.currency)}{" "}
        {plan.unit_amount === 0 ? null : (
          <span className="text-sm font-normal text-muted-foreground">{per}</span>
        )}
      </p>
      <PlanTerms plan={plan} per={per} isTrialOffered={action === "trial"} />
      <div className="mt-auto pt-4">
        {action === "needs_end" ? (
          <p className="text-xs text-muted-foreground">{texts.freeNeedsEnd}</p>
        ) : verb === null ? null : (
          <Button
            variant={action === "downgrade" || action === "keep" ? "secondary" : "primary"}
            className="w-full"
            aria-label={isOpening ? undefined : texts.buttonLabel(verb, plan.name)}
            disabled={isBusy}
            onClick={() => onChoose(plan, action)}
          >
            {isOpening ? texts.opening : verb}
          </Button>
        )}
      </div>
    </li>
  );
}

function PlanTerms({
  plan,
  per,
  isTrialOffered,
}: {
  plan: PlanRow;
  per: string;
  isTrialOffered: boolean;
}): ReactNode {
  const { plans: texts } = useMessages();
  const format = useFormat();
  const rollover = mostRollover(plan);
  return (
    <ul className="mt-2 space-y-1 text-xs text-muted-foreground">
      <li>{texts.credits(format.credits(plan.credits_per_period), per)}</li>
      <li>{rollover === null ? texts.rollsNone : texts.rollsUpTo(format.credits(rollover))}</li>
      {isTrialOffered ? (
        <li>{texts.trial(format.count(plan.trial_days), format.credits(plan.trial_credits))}</li>
      ) : null}
    </ul>
  );
}

function Standing({
  plan,
  subscription,
}: {
  plan: PlanRow;
  subscription: SubscriptionRow | null;
}): ReactNode {
  const { plans: texts } = useMessages();
  const format = useFormat();
  if (subscription === null || !isLive(subscription)) return null;
  const end = subscription.current_period_end;
  if (plan.id === subscription.next_plan_id && end !== null) {
    return <Badge tone="warning">{texts.nextFrom(format.date(end))}</Badge>;
  }
  return plan.id === subscription.plan_id ? <Badge tone="success">{texts.current}</Badge> : null;
}

function useVerb(action: PlanAction): string | null {
  const { plans: texts } = useMessages();
  const verbs: Readonly<Record<PlanAction, string | null>> = {
    subscribe: texts.subscribe,
    trial: texts.startTrial,
    start_free: texts.startFree,
    upgrade: texts.upgrade,
    downgrade: texts.downgrade,
    switch: texts.switchTo,
    keep: texts.keep,
    needs_end: null,
    none: null,
  };
  return verbs[action];
}
