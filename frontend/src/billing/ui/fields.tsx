/** Labelled form fields, native underneath. */

import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, useId } from "react";

const CONTROL = "min-h-9 w-full rounded-md border border-input bg-card px-2.5 py-1.5 text-sm text-foreground";

export interface TextFieldProps extends InputHTMLAttributes<HTMLInputElement> {
  label: string;
  hint?: string | undefined;
  error?: string | undefined;
}

/** A one-line text field with its label, a hint and what is wrong with the entry. */
export function TextField({ label, hint, error, className = "", ...input }: TextFieldProps): ReactNode {
  const id = useId();
  const noteId = useId();
  const note = error ?? hint;
  return (
    <div className={className}>
      <label htmlFor={id} className="mb-1 block text-sm font-medium">
        {label}
      </label>
      <input
        id={id}
        className={CONTROL}
        aria-invalid={error !== undefined}
        {...(note === undefined ? {} : { "aria-describedby": noteId })}
        {...input}
      />
      {note === undefined ? null : (
        <p
          id={noteId}
          className={`mt-1 text-xs ${error === undefined ? "text-muted-foreground" : "text-danger"}`}
        >
          {note}
        </p>
      )}
    </div>
  );
}

/** A text shown to be copied, in full however long it is. */
export function SecretField({ label, value }: { label: string; value: string }): ReactNode {
  const id = useId();
  return (
    <div>
      <label htmlFor={id} className="mb-1 block text-sm font-medium">
        {label}
      </label>
      <textarea
        id={id}
        className={`${CONTROL} resize-none bg-muted font-mono break-all`}
        rows={3}
        value={value}
        readOnly
        autoComplete="off"
        spellCheck={false}
        onFocus={(event) => event.target.select()}
      />
    </div>
  );
}

export interface SelectFieldProps
  extends Omit<SelectHTMLAttributes<HTMLSelectElement>, "onChange" | "value"> {
  label: string;
  value: string;
  options: readonly { readonly value: string; readonly label: string }[];
  onValueChange: (value: string) => void;
  /** Keeps the label for screen readers alone, where the place explains the field. */
  isLabelHidden?: boolean;
}

/** A native choice with its label. */
export function SelectField({
  label,
  value,
  options,
  onValueChange,
  isLabelHidden = false,
  className = "",
  ...select
}: SelectFieldProps): ReactNode {
  const id = useId();
  return (
    <div className={`min-w-0 ${className}`}>
      <label htmlFor={id} className={isLabelHidden ? "sr-only" : "mb-1 block text-sm font-medium"}>
        {label}
      </label>
      <select
        id={id}
        className={CONTROL}
        value={value}
        onChange={(event) => onValueChange(event.target.value)}
        {...select}
      >
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </select>
    </div>
  );
}

export interface SegmentedProps {
  label: string;
  value: string;
  options: readonly { readonly value: string; readonly label: string }[];
  onValueChange: (value: string) => void;
}

/** A few exclusive choices side by side: radio buttons drawn as one control. */
export function Segmented({ label, value, options, onValueChange }: SegmentedProps): ReactNode {
  const name = useId();
  return (
    <fieldset className="inline-flex rounded-md border border-input p-0.5">
      <legend className="sr-only">{label}</legend>
      {options.map((option) => (
        <label
          key={option.value}
          className="relative rounded px-3 py-1 text-sm text-muted-foreground has-checked:bg-muted has-checked:font-medium has-checked:text-foreground has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-ring"
        >
          <input
            type="radio"
            name={name}
            value={option.value}
            checked={option.value === value}
            onChange={() => onValueChange(option.value)}
            className="absolute inset-0 cursor-pointer opacity-0"
          />
          {option.label}
        </label>
      ))}
    </fieldset>
  );
}

export interface CheckboxProps {
  label: string;
  isChecked: boolean;
  onCheckedChange: (isChecked: boolean) => void;
  error?: string | undefined;
}

/** A box to tick, with what ticking it says, and what is wrong while it is not ticked. */
export function Checkbox({ label, isChecked, onCheckedChange, error }: CheckboxProps): ReactNode {
  const noteId = useId();
  return (
    <div>
      <label className="flex items-start gap-2 text-sm">
        <input
          type="checkbox"
          className="mt-0.5 size-4 shrink-0"
          checked={isChecked}
          aria-invalid={error !== undefined}
          {...(error === undefined ? {} : { "aria-describedby": noteId })}
          onChange={(event) => onCheckedChange(event.target.checked)}
        />
        <span>{label}</span>
      </label>
      {error === undefined ? null : (
        <p id={noteId} className="mt-1 text-xs text-danger">
          {error}
        </p>
      )}
    </div>
  );
}
