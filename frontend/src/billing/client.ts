/** The host's Supabase client, seen through the types of schema `billing`. */

import type { PostgrestSingleResponse, SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "./database.types.js";
import { billingErrorFrom } from "./errors.js";

/** Any Supabase client of the host, whatever schema it was made for. */
export type HostClient = SupabaseClient;

type TypedClient = SupabaseClient<Database, "billing">;

/** Queries and calls of schema `billing`. */
export type BillingSchema = ReturnType<TypedClient["schema"]>;

/**
 * Narrows the host's client to schema `billing`.
 *
 * @param client - The host's client; its own default schema does not matter.
 */
export function billingSchema(client: HostClient): BillingSchema {
  return (client as unknown as TypedClient).schema("billing");
}

/**
 * Waits for an answer of PostgREST.
 *
 * @param request - A query or a call.
 * @returns The data.
 * @throws BillingError when the server refused or could not be reached.
 */
export async function answerOf<Data>(request: PromiseLike<PostgrestSingleResponse<Data>>): Promise<Data> {
  const { data, error, status } = await request;
  if (error !== null) throw billingErrorFrom(error, status);
  return data;
}

/**
 * Hands a decimal text to an argument of type `numeric`. PostgREST takes JSON strings there and Postgres reads them exactly,
 * while the generated types know only `number`, which would round.
 *
 * @param text - A decimal such as `creditsToText` writes.
 */
export function numericArgument(text: string): number {
  return text as unknown as number;
}

/**
 * Asserts a column that a view or a composite type declares nullable and the database always fills.
 *
 * @param value - The column's value.
 * @param column - Its name, for the error.
 * @throws TypeError when it is null after all.
 */
export function filled<Value>(value: Value | null | undefined, column: string): Value {
  if (value === null || value === undefined) throw new TypeError(`column ${column} is empty`);
  return value;
}
