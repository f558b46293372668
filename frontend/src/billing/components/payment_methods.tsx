/** `PaymentMethods`: saved cards; saving another, choosing the default, removing. */

import { type ReactNode, useState } from "react";
import { useMessages } from "../context.js";
import { describeError } from "../errors.js";
import { type PaymentMethodRow, useAddCard, useCardStep, usePaymentMethods } from "../queries/cards.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { Dialog } from "../ui/dialog.js";
import { Badge, EmptyState, Notice } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { Cell, type Column, ControlBelow, Table } from "../ui/table.js";
import { cardState } from "./card_state.js";
import { ForRole } from "./for_role.js";

/** The organization's payment methods, for people who may see its money. */
export function PaymentMethods({ className = "" }: { className?: string }): ReactNode {
  const messages = useMessages();
  return (
    <Card title={messages.cards.title} note={messages.cards.intro} className={className}>
      <ForRole may={(rights) => rights.canBuy} note={messages.states.noPermissionMoney}>
        {() => <CardList />}
      </ForRole>
    </Card>
  );
}

function CardList(): ReactNode {
  const messages = useMessages();
  const texts = messages.cards;
  const methods = usePaymentMethods();
  const step = useCardStep();
  const [removing, setRemoving] = useState<PaymentMethodRow | null>(null);
  const columns: Column[] = [
    { key: "method", label: texts.method },
    { key: "expires", label: texts.expires, isSecondary: true },
    { key: "actions", label: texts.actions, isLabelHidden: true, isNumeric: true, isSecondary: true },
  ];
  return (
    <div className="space-y-4">
      {step.error === null ? null : (
        <Notice tone="danger" isAlert>
          {describeError(step.error, messages)}
        </Notice>
      )}
      <QueryState
        query={methods}
        skeletonLines={2}
        isEmpty={(rows) => rows.length === 0}
        empty={<EmptyState title={texts.empty} note={texts.emptyNote} />}
      >
        {(rows) => (
          <Table caption={texts.caption} columns={columns}>
            {rows.map((row) => (
              <Method
                key={row.id}
                method={row}
                isBusy={step.isPending}
                onMakeDefault={() => step.mutate({ step: "set_default_payment_method", id: row.id })}
                onRemove={() => setRemoving(row)}
              />
            ))}
          </Table>
        )}
      </QueryState>
      <AddCard />
      {removing === null ? null : <RemoveCard method={removing} onClose={() => setRemoving(null)} />}
    </div>
  );
}

interface MethodProps {
  method: PaymentMethodRow;
  isBusy: boolean;
  onMakeDefault: () => void;
  onRemove: () => void;
}

function Method({ method, isBusy, onMakeDefault, onRemove }: MethodProps): ReactNode {
  const { cards: texts } = useMessages();
  const name = useMethodName(method);
  const actions = (
    <>
      {method.is_default ? null : (
        <Button
          variant="quiet"
          className="px-2"
          disabled={isBusy}
          aria-label={texts.makeDefaultLabel(name)}
          onClick={onMakeDefault}
        >
          {texts.makeDefault}
        </Button>
      )}
      <Button variant="quiet" className="px-2" aria-label={texts.removeLabel(name)} onClick={onRemove}>
        {texts.remove}
      </Button>
    </>
  );
  return (
    <tr>
      <Cell isRowHeader className="text-left">
        <span className="flex flex-wrap items-center gap-2">
          <span className="font-medium">{name}</span>
          {method.is_default ? <Badge tone="success">{texts.isDefault}</Badge> : null}
          <Expiry method={method} />
        </span>
        <ControlBelow>{actions}</ControlBelow>
      </Cell>
      <Cell isSecondary className="tabular-nums">
        {method.exp_month === null ? "" : `${String(method.exp_month).padStart(2, "0")} / ${method.exp_year}`}
      </Cell>
      <Cell isNumeric isControl isSecondary>
        {actions}
      </Cell>
    </tr>
  );
}

function Expiry({ method }: { method: PaymentMethodRow }): ReactNode {
  const { cards: texts } = useMessages();
  const state = cardState(method.exp_month, method.exp_year, Date.now());
  if (state === "valid") return null;
  return (
    <Badge tone={state === "expired" ? "danger" : "warning"}>
      {state === "expired" ? texts.expired : texts.expiresSoon}
    </Badge>
  );
}

function AddCard(): ReactNode {
  const messages = useMessages();
  const add = useAddCard();
  return (
    <div className="space-y-2">
      <Button onClick={() => add.mutate()} disabled={add.isPending || add.isSuccess}>
        {add.isPending || add.isSuccess ? messages.cards.opening : messages.cards.add}
      </Button>
      {add.error === null ? null : (
        <Notice tone="danger" isAlert>
          {describeError(add.error, messages)}
        </Notice>
      )}
    </div>
  );
}

function RemoveCard({ method, onClose }: { method: PaymentMethodRow; onClose: () => void }): ReactNode {
  const messages = useMessages();
  const texts = messages.cards;
  const step = useCardStep();
  const remove = () => step.mutate({ step: "detach_payment_method", id: method.id }, { onSuccess: onClose });
  return (
    <Dialog title={texts.removeTitle(useMethodName(method))} description={texts.removeNote} onClose={onClose}>
      <div className="space-y-4">
        {step.error === null ? null : (
          <Notice tone="danger" isAlert>
            {describeError(step.error, messages)}
          </Notice>
        )}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{messages.states.cancel}</Button>
          <Button variant="danger" disabled={step.isPending} onClick={remove}>
            {step.isPending ? texts.removing : texts.removeConfirm}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

function useMethodName(method: Pick<PaymentMethodRow, "type" | "brand" | "last4">): string {
  const { cards: texts } = useMessages();
  const brand = method.brand ?? method.type;
  const named = brand.charAt(0).toUpperCase() + brand.slice(1).replaceAll("_", " ");
  return method.last4 === null ? named : texts.name(named, method.last4);
}
