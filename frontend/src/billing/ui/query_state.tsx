/** The states that every section of the page has: being read, failed, stale, empty, there. */

import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useFormat, useMessages } from "../context.js";
import { BillingError, describeError } from "../errors.js";
import { Button } from "./button.js";
import { EmptyState, Notice, Skeleton } from "./feedback.js";

/** What is shown of a read; several reads that belong together can be put into one. */
export interface QueryFacts<Data>
  extends Pick<UseQueryResult<Data>, "error" | "dataUpdatedAt" | "isFetching"> {
  readonly data: Data | undefined;
  readonly refetch: () => Promise<unknown>;
}

export interface QueryStateProps<Data> {
  query: QueryFacts<Data>;
  /** How many grey bars stand in while the first answer is awaited. */
  skeletonLines: number;
  /** When true for the data, `empty` is shown in its place. */
  isEmpty?: (data: Data) => boolean;
  empty?: ReactNode;
  children: (data: Data) => ReactNode;
}

/** Shows a read's data, or says why there is none. Old data stays visible, and is called old, when a refresh fails. */
export function QueryState<Data>({
  query,
  skeletonLines,
  isEmpty,
  empty,
  children,
}: QueryStateProps<Data>): ReactNode {
  const messages = useMessages();
  const { data, error } = query;
  if (data === undefined) {
    return error === null ? (
      <Skeleton lines={skeletonLines} label={messages.states.loading} />
    ) : (
      <SectionError error={error} isRetrying={query.isFetching} onRetry={() => void query.refetch()} />
    );
  }
  return (
    <>
      {error === null ? null : <StaleNote error={error} readAt={query.dataUpdatedAt} />}
      {isEmpty?.(data) === true ? empty : children(data)}
    </>
  );
}

function SectionError({
  error,
  isRetrying,
  onRetry,
}: {
  error: Error;
  isRetrying: boolean;
  onRetry: () => void;
}): ReactNode {
  const messages = useMessages();
  if (error instanceof BillingError && error.slug === "not_authorized") {
    return <EmptyState title={messages.states.noPermissionTitle} note={describeError(error, messages)} />;
  }
  return (
    <Notice
      tone="danger"
      isAlert
      title={messages.states.errorTitle}
      actions={
        <Button onClick={onRetry} disabled={isRetrying}>
          {isRetrying ? messages.states.loading : messages.states.retry}
        </Button>
      }
    >
      {describeError(error, messages)}
    </Notice>
  );
}

function StaleNote({ error, readAt }: { error: Error; readAt: number }): ReactNode {
  const messages = useMessages();
  const format = useFormat();
  const isSessionOver = error instanceof BillingError && error.slug === "session_expired";
  return (
    <p role="status" className="mb-3 rounded-md bg-warning-soft px-3 py-1.5 text-xs font-medium text-warning">
      {isSessionOver
        ? messages.connection.sessionExpired
        : messages.connection.stale(format.time(new Date(readAt)))}
    </p>
  );
}
