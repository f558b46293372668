/** The dialog that switches automatic top-up on: the terms, and the words that a person agrees to. */

import { type FormEvent, type ReactNode, useState } from "react";
import { useFormat, useMessages } from "../context.js";
import { creditsToText, parseCredits } from "../credits.js";
import { describeError } from "../errors.js";
import { minorToDecimalText } from "../money.js";
import { type CreditPackageRow, useCreditPackages } from "../queries/catalogue.js";
import { type AutoTopupTerms, type NewAutoTopup, useSetAutoTopup } from "../queries/topup.js";
import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { Notice } from "../ui/feedback.js";
import { Checkbox, Segmented, SelectField, TextField } from "../ui/fields.js";
import { QueryState } from "../ui/query_state.js";
import { readAmountEntry, readMoneyEntry } from "./amount_entry.js";

const KINDS = ["amount", "target"] as const;
type Kind = (typeof KINDS)[number];

/** What has been typed so far. */
interface Draft {
  readonly threshold: string;
  readonly kind: Kind;
  readonly credits: string;
  readonly packageId: string;
  readonly cap: string;
}

/** What is wrong with it, by field; what is not there is right. */
type Faults = Partial<Record<"threshold" | "credits" | "cap" | "consent", string>>;

export interface SetAutoTopupProps {
  /** The terms so far; null when there are none. */
  present: AutoTopupTerms | null;
  onClose: () => void;
}

/** Asks for terms and consent. Every change of terms needs a new consent. */
export function SetAutoTopup({ present, onClose }: SetAutoTopupProps): ReactNode {
  const { topup: texts } = useMessages();
  return (
    <Dialog title={texts.dialogTitle} description={texts.dialogNote} onClose={onClose}>
      <QueryState query={useCreditPackages()} skeletonLines={5}>
        {(packs) => <TermsForm packs={packs} present={present} onClose={onClose} />}
      </QueryState>
    </Dialog>
  );
}

function draftOf(present: AutoTopupTerms | null, packs: readonly CreditPackageRow[]): Draft {
  const amount = present?.target ?? present?.amount ?? null;
  return {
    threshold: present === null ? "" : creditsToText(present.threshold),
    kind: present?.target == null ? "amount" : "target",
    credits: amount === null ? "" : creditsToText(amount),
    packageId: packs.find((pack) => pack.id === present?.packageId)?.id ?? packs[0]?.id ?? "",
    cap: present?.monthlyCap == null ? "" : minorToDecimalText(present.monthlyCap, present.currency),
  };
}

function TermsForm({
  packs,
  present,
  onClose,
}: SetAutoTopupProps & { packs: readonly CreditPackageRow[] }): ReactNode {
  const messages = useMessages();
  const texts = messages.topup;
  const format = useFormat();
  const save = useSetAutoTopup();
  const [draft, setDraft] = useState(() => draftOf(present, packs));
  const [isAgreed, setIsAgreed] = useState(false);
  const [faults, setFaults] = useState<Faults>({});
  const pack = packs.find((row) => row.id === draft.packageId);
  const consent = useConsent(draft, pack);
  const change = (changes: Partial<Draft>) => {
    setDraft({ ...draft, ...changes });
    setIsAgreed(false);
  };
  const read = useReader();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (pack === undefined || consent === null) {
      setFaults(read(draft, pack?.currency ?? "usd", isAgreed, consent ?? "").faults);
      return;
    }
    const { terms, faults: found } = read(draft, pack.currency, isAgreed, consent);
    setFaults(found);
    if (terms !== null) save.mutate(terms, { onSuccess: onClose });
  };
  return (
    <form onSubmit={submit} className="space-y-4">
      <TextField
        label={texts.thresholdLabel}
        value={draft.threshold}
        inputMode="decimal"
        autoComplete="off"
        error={faults.threshold}
        onChange={(event) => change({ threshold: event.target.value })}
      />
      <Segmented
        label={texts.kind}
        value={draft.kind}
        options={KINDS.map((value) => ({ value, label: texts.kinds[value] }))}
        onValueChange={(value) => change({ kind: value === "target" ? "target" : "amount" })}
      />
      <TextField
        label={draft.kind === "target" ? texts.targetLabel : texts.amountLabel}
        value={draft.credits}
        inputMode="decimal"
        autoComplete="off"
        error={faults.credits}
        onChange={(event) => change({ credits: event.target.value })}
      />
      <SelectField
        label={texts.packLabel}
        value={draft.packageId}
        options={packs.map((row) => ({
          value: row.id,
          label: texts.packOption(
            row.name,
            format.creditPrice(row.unit_amount, parseCredits(row.credits), row.currency),
          ),
        }))}
        onValueChange={(packageId) => change({ packageId })}
      />
      <TextField
        label={texts.capLabel((pack?.currency ?? "usd").toUpperCase())}
        value={draft.cap}
        inputMode="decimal"
        autoComplete="off"
        error={faults.cap}
        onChange={(event) => change({ cap: event.target.value })}
      />
      {consent === null ? null : (
        <div className="rounded-md border bg-muted p-3">
          <p className="text-xs font-medium text-muted-foreground">{texts.consentHead}</p>
          <p className="mt-1 text-sm">{consent}</p>
        </div>
      )}
      <Checkbox
        label={texts.agree}
        isChecked={isAgreed}
        error={faults.consent}
        onCheckedChange={setIsAgreed}
      />
      {save.error === null ? null : (
        <Notice tone="danger" isAlert>
          {describeError(save.error, messages)}
        </Notice>
      )}
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{messages.states.cancel}</Button>
        <Button type="submit" variant="primary" disabled={save.isPending}>
          {save.isPending ? texts.submitting : present?.isEnabled === true ? texts.save : texts.submit}
        </Button>
      </div>
    </form>
  );
}

/** The words to agree to, or null while the terms cannot be read. */
function useConsent(draft: Draft, pack: CreditPackageRow | undefined): string | null {
  const { topup: texts } = useMessages();
  const format = useFormat();
  const threshold = readAmountEntry(draft.threshold, 0n);
  const credits = readAmountEntry(draft.credits, 1n);
  if (threshold === null || credits === null || pack === undefined) return null;
  const cap = draft.cap.trim() === "" ? null : readMoneyEntry(draft.cap, pack.currency);
  const rule = draft.kind === "target" ? texts.ruleTarget : texts.ruleAmount;
  return texts.consent(
    rule(format.credits(threshold), format.credits(credits)),
    format.creditPrice(pack.unit_amount, parseCredits(pack.credits), pack.currency),
    cap === null ? texts.noCap : texts.cap(format.money(cap, pack.currency)),
  );
}

/** Reads a draft into terms, or says what is wrong with it. */
function useReader(): (
  draft: Draft,
  currency: string,
  isAgreed: boolean,
  consent: string,
) => { terms: NewAutoTopup | null; faults: Faults } {
  const { topup: texts } = useMessages();
  return (draft, currency, isAgreed, consent) => {
    const threshold = readAmountEntry(draft.threshold, 0n);
    const credits = readAmountEntry(draft.credits, 1n);
    const hasCap = draft.cap.trim() !== "";
    const monthlyCap = hasCap ? readMoneyEntry(draft.cap, currency) : null;
    const isTargetLow =
      draft.kind === "target" &&
      threshold !== null &&
      credits !== null &&
      parseCredits(credits) <= parseCredits(threshold);
    const faults: Faults = {
      ...(threshold === null ? { threshold: texts.entryInvalid } : {}),
      ...(credits === null ? { credits: texts.entryInvalid } : {}),
      ...(isTargetLow ? { credits: texts.targetInvalid } : {}),
      ...(hasCap && monthlyCap === null ? { cap: texts.capInvalid } : {}),
      ...(isAgreed ? {} : { consent: texts.agreeMissing }),
    };
    if (threshold === null || credits === null || Object.keys(faults).length > 0)
      return { terms: null, faults };
    const { kind, packageId } = draft;
    return { terms: { threshold, kind, credits, packageId, monthlyCap, consent }, faults };
  };
}
