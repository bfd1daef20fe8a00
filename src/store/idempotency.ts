/** Idempotency keys (header Idempotency-Key) belong to whoever sent them. */
import type { Requester } from "../model/task.ts";
import type { Command } from "./command.ts";

/** What `StoreReader.idempotent` takes. */
export const requesterKeyOf = (requester: Requester, idempotencyKey: string): string =>
	`${requester.kind}/${requester.id ?? ""}/${idempotencyKey}`;

/**
 * What a repeated request has in common with the first: new objects get new ids each time, existing ones keep theirs.
 * The hash of the request stands behind it where there is one.
 */
export const subjectOf = ({ body, idempotencyHash }: Pick<Command, "body" | "idempotencyHash">): string =>
	("id" in body ? `${body.kind}/${body.id}` : body.kind) + (idempotencyHash ? hashMark + idempotencyHash : "");

/** The hash in a subject; null for one without. */
export function hashOfSubject(subject: string): string | null {
	const position = subject.lastIndexOf(hashMark);
	return position < 0 ? null : subject.slice(position + hashMark.length);
}

const hashMark = " sha256:";
