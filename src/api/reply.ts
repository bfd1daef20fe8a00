/** The answers of handlers, by status. */
import type { ReplyHeaders } from "./route.ts";

export const ok = <T>(body: T, headers: ReplyHeaders = {}) => ({ status: 200 as const, body, headers });
export const made = <T>(body: T, headers: ReplyHeaders = {}) => ({ status: 201 as const, body, headers });
export const taken = <T>(body: T, headers: ReplyHeaders = {}) => ({ status: 202 as const, body, headers });
export const nothing = (headers: ReplyHeaders = {}) => ({ status: 204 as const, headers });
