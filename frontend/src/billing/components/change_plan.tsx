/** The dialogs that change or end the plan in force, each saying first what will happen. */

import type { ReactNode } from "react";
import { useFormat, useMessages } from "../context.js";
import { describeError } from "../errors.js";
import { labelOf } from "../labels.js";
import type { SubscriptionRow } from "../queries/money.js";
import { type PlanRow, type PlanStep, usePlanStep } from "../queries/plans.js";
import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { Notice } from "../ui/feedback.js";
import { changePreview, type PlanAction } from "./plan_state.js";

export interface ChangePlanProps {
  plan: PlanRow;
  action: PlanAction;
  subscription: SubscriptionRow;
  onClose: () => void;
}

/** Confirms a change to another plan, or dropping a change that was planned. */
export function ChangePlan({ plan, action, subscription, onClose }: ChangePlanProps): ReactNode {
  const { plans: texts } = useMessages();
  const format = useFormat();
  const end = subscription.trial_end ?? subscription.current_period_end;
  const date = end === null ? "" : format.date(end);
  const preview = texts.previews[changePreview(action, subscription)];
  const price =
    plan.unit_amount === 0
      ? texts.free
      : texts.price(format.money(plan.unit_amount, plan.currency), labelOf(texts.per, plan.billing_interval));
  const step: PlanStep =
    subscription.stripe_subscription_id === null
      ? { kind: "start_free", planId: plan.id }
      : { kind: "change", planId: plan.id };
  return (
    <StepDialog
      title={texts.dialogTitle(plan.name)}
      description={texts.dialogNote(price)}
      note={typeof preview === "string" ? preview : preview(date)}
      step={step}
      confirm={action === "keep" ? texts.keep : texts.confirm}
      confirming={texts.confirming}
      onClose={onClose}
    />
  );
}

/** Confirms the end of the plan at the end of its period. */
export function CancelPlan({
  subscription,
  onClose,
}: {
  subscription: SubscriptionRow;
  onClose: () => void;
}): ReactNode {
  const { plans: texts } = useMessages();
  const format = useFormat();
  const end = subscription.current_period_end;
  return (
    <StepDialog
      title={texts.cancelTitle}
      description={subscription.plan?.name ?? ""}
      note={texts.cancelNote(end === null ? "" : format.date(end))}
      step={{ kind: subscription.stripe_subscription_id === null ? "cancel_free" : "cancel" }}
      confirm={texts.cancelConfirm}
      confirming={texts.canceling}
      isDangerous
      onClose={onClose}
    />
  );
}

interface StepDialogProps {
  title: string;
  description: string;
  note: string;
  step: PlanStep;
  confirm: string;
  confirming: string;
  isDangerous?: boolean;
  onClose: () => void;
}

function StepDialog(props: StepDialogProps): ReactNode {
  const messages = useMessages();
  const take = usePlanStep();
  return (
    <Dialog title={props.title} description={props.description} onClose={props.onClose}>
      <div className="space-y-4">
        <p className="text-sm">{props.note}</p>
        {take.error === null ? null : (
          <Notice tone="danger" isAlert>
            {describeError(take.error, messages)}
          </Notice>
        )}
        <div className="flex flex-wrap justify-end gap-2">
          <Button onClick={props.onClose}>{messages.states.cancel}</Button>
          <Button
            variant={props.isDangerous === true ? "danger" : "primary"}
            disabled={take.isPending}
            onClick={() => take.mutate(props.step, { onSuccess: props.onClose })}
          >
            {take.isPending ? props.confirming : props.confirm}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
