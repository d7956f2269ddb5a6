/** A refused or failed request. */
export declare class ApiError extends Error {
  constructor(
    detail: string,
    members?: {
      status?: number;
      code?: string;
      requestId?: string | null;
      errors?: Record<string, string[]> | null;
      retryAfterMs?: number;
    },
  );
  readonly name: "ApiError";
  readonly detail: string;
  /** The HTTP status; 0 without a response. */
  readonly status: number;
  /** The server's stable code; UNREACHABLE without a response. */
  readonly code: string;
  readonly requestId: string | null;
  /** Of a 422: messages by field. */
  readonly errors: Record<string, string[]> | null;
  readonly retryAfterMs: number;
  /** What the server asks to wait, in seconds; 0 if it does not. */
  readonly retryAfter: number;
  /** Whether the same request may succeed later. */
  readonly isPassing: boolean;
}
