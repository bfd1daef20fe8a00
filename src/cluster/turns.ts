/**
 * A node that joins another cluster admits nobody meanwhile, and one that is just admitting somebody joins nothing: whoever it
 * admitted would be a member of a cluster that nobody has any more. So of two nodes that join each other one succeeds at most.
 */
import { AppError } from "../lib/errors.ts";

export class Turns {
	#joins = false;
	#admissions = 0;

	/** `wrong-state` while somebody is being admitted, or a join is under way. */
	beginJoin(): void {
		this.checkNotJoining();
		if (this.#admissions > 0)
			throw new AppError(
				"wrong-state",
				"This node is just admitting another one to its own cluster. Nothing was done.",
			);
		this.#joins = true;
	}

	checkNotJoining(): void {
		if (this.#joins) throw new AppError("wrong-state", "This node is joining a cluster already.");
	}

	/** It becomes a cluster of its own, which nothing else may come between: `wrong-state` while it joins another one. */
	beginAnew(): void {
		this.checkNotJoining();
		this.#joins = true;
	}

	/** Also when what `beginAnew` began has failed. */
	endJoin(): void {
		this.#joins = false;
	}

	/** `wrong-state` while this node joins. */
	async admit<Result>(work: () => Promise<Result>): Promise<Result> {
		this.checkAdmits();
		this.#admissions += 1;
		try {
			return await work();
		} finally {
			this.#admissions -= 1;
		}
	}

	/** The same, of somebody who only asks. */
	checkAdmits(): void {
		if (this.#joins)
			throw new AppError(
				"wrong-state",
				"The node that was asked is joining another cluster itself. Nothing was done. When it is done, join that one, with a token of it.",
			);
	}
}
