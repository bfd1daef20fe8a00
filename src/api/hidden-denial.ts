/**
 * A denial that the client is told as "not there", since it may not know that there is something. The audit has it as
 * the denial that it is.
 */
import { AppError } from "../lib/errors.ts";
import type { ResourceRef } from "../model/schema.ts";

export class HiddenDenial extends AppError {
	readonly target: ResourceRef;

	constructor(message: string, target: ResourceRef) {
		super("not-found", message);
		this.target = target;
	}
}
