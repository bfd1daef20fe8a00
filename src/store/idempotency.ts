/** Idempotency keys (header Idempotency-Key) belong to whoever sent them. */
import type { Requester } from "../model/task.ts";

/** What `StoreReader.idempotent` takes. */
export const requesterKeyOf = (requester: Requester, idempotencyKey: string): string =>
	`${requester.kind}/${requester.id ?? ""}/${idempotencyKey}`;
