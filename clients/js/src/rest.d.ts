import type { operations } from "../types/rest.js";
import type { ApiError } from "./request.js";
import type { OperationName } from "./rest/operations.js";

export { ApiError } from "./request.js";
export type { OperationName } from "./rest/operations.js";
export type * from "../types/rest.js";

/** A token, or a function that returns the current one or a promise of it. */
export type Token = string | (() => string | Promise<string>);

export interface RestOptions {
  token: Token;
  /** The server's address; empty: the page's origin. */
  baseUrl?: string;
  fetch?: typeof fetch;
  /** Time limit of an attempt. */
  timeoutMs?: number;
  /** Attempts after the first one. */
  retries?: number;
  /** First pause after a failure; doubles up to `retryCapMs`. */
  retryMs?: number;
  retryCapMs?: number;
  /** A longer `Retry-After` is not waited for. */
  maxPauseMs?: number;
}

export interface CallOptions {
  /** By default a new one for each call. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

type Part<Operation, Name extends string> = Operation extends { parameters: { [key in Name]?: infer Given } }
  ? [NonNullable<Given>] extends [never] ? unknown : NonNullable<Given>
  : unknown;
type JsonOf<Given> = Given extends { content: { "application/json": infer Body } } ? Body : never;
type Body<Operation> = Operation extends { requestBody: infer Given }
  ? { body: JsonOf<Given> }
  : Operation extends { requestBody?: infer Given }
    ? [JsonOf<NonNullable<Given>>] extends [never] ? unknown : { body?: JsonOf<NonNullable<Given>> }
    : unknown;

/** The parameters of path and query, and the `body`, of an operation. */
export type ParametersOf<Name extends OperationName> = Part<operations[Name], "path"> &
  Part<operations[Name], "query"> &
  Body<operations[Name]>;

type Successful<Responses> = Responses[keyof Responses & (200 | 201 | 202)];
type ContentOf<Answer> = Answer extends { content: infer Content }
  ? Content extends { "application/json": infer Json } ? Json : Content extends { "text/plain": infer Text } ? Text : null
  : null;

/** What an operation returns: its JSON, its text, or null. */
export type ResultOf<Name extends OperationName> = operations[Name] extends { responses: infer Responses }
  ? [Successful<Responses>] extends [never] ? null : ContentOf<Successful<Responses>>
  : never;

/** A list: `await` it for one page, or iterate over the items of all pages. */
export interface Pages<Page extends { items: readonly unknown[] }> extends PromiseLike<Page> {
  [Symbol.asyncIterator](): AsyncIterator<Page["items"][number]>;
}

type Answer<Name extends OperationName> = ResultOf<Name> extends { items: readonly unknown[]; nextCursor: string | null }
  ? Pages<ResultOf<Name>>
  : Promise<ResultOf<Name>>;
type Arguments<Name extends OperationName> = {} extends ParametersOf<Name>
  ? [parameters?: ParametersOf<Name> | null, options?: CallOptions]
  : [parameters: ParametersOf<Name>, options?: CallOptions];

type Calls = { [Name in OperationName]: (...given: Arguments<Name>) => Answer<Name> };

/** Every operation of the REST API as a method. A refusal is thrown as ApiError. */
export interface RestClient extends Calls {
  /** The body of the response. */
  call<Name extends OperationName>(name: Name, ...given: Arguments<Name>): Promise<ResultOf<Name>>;
  /** The response itself, for example to stream a list as CSV (`{ accept: "text/csv" }`). */
  request<Name extends OperationName>(
    name: Name,
    parameters?: ParametersOf<Name> | null,
    options?: CallOptions & { accept?: string },
  ): Promise<Response>;
}
export declare const RestClient: { new (options: RestOptions): RestClient };
