/** What can be done with the plan in force: end it, keep it after all, take it up again. */

import { type ReactNode, useState } from "react";
import { useMessages } from "../context.js";
import { describeError } from "../errors.js";
import { type SubscriptionRow, useSubscription } from "../queries/money.js";
import { type PlanStep, usePlanStep } from "../queries/plans.js";
import { Button } from "../ui/button.js";
import { Notice } from "../ui/feedback.js";
import { CancelPlan } from "./change_plan.js";
import { planStand } from "./plan_state.js";

/** The buttons below the plan; nothing while no plan is in force. */
export function PlanActions(): ReactNode {
  const { data } = useSubscription();
  const stand = planStand(data ?? null);
  if (data == null || stand === null) return null;
  return stand === "cancel" ? <Cancel subscription={data} /> : <TakeUp subscription={data} stand={stand} />;
}

function Cancel({ subscription }: { subscription: SubscriptionRow }): ReactNode {
  const { plans: texts } = useMessages();
  const [isAsking, setIsAsking] = useState(false);
  return (
    <>
      <Button onClick={() => setIsAsking(true)}>{texts.cancel}</Button>
      {isAsking ? <CancelPlan subscription={subscription} onClose={() => setIsAsking(false)} /> : null}
    </>
  );
}

function TakeUp({
  subscription,
  stand,
}: {
  subscription: SubscriptionRow;
  stand: "undo" | "resume";
}): ReactNode {
  const messages = useMessages();
  const take = usePlanStep();
  const step: PlanStep | null =
    subscription.stripe_subscription_id !== null
      ? { kind: "resume" }
      : subscription.plan_id === null
        ? null
        : { kind: "start_free", planId: subscription.plan_id };
  if (step === null) return null;
  return (
    <div className="space-y-2">
      <Button variant="primary" disabled={take.isPending} onClick={() => take.mutate(step)}>
        {take.isPending
          ? messages.plans.resuming
          : stand === "undo"
            ? messages.plans.undoCancel
            : messages.plans.resume}
      </Button>
      {take.error === null ? null : (
        <Notice tone="danger" isAlert>
          {describeError(take.error, messages)}
        </Notice>
      )}
    </div>
  );
}
