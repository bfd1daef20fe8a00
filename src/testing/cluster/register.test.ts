/** What a history may say of a write that failed: that it has not happened only where the node's answer means that. */
import { expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import { full, lost, notLeading, refusalError, removed, sinceItMayHaveHappened } from "../../store/raft/refusals.ts";
import { endOfFailure } from "./register.ts";

/** As it comes out of the API: code and text. */
const answered = ({ code, message }: AppError): AppError => new AppError(code, message);

test("an answer that says that nothing was proposed is held to it", () => {
	const refused = [notLeading(null), notLeading("a"), lost(), full(), removed()];
	refused.push(refusalError({ refused: "busy", leader: null }), refusalError({ refused: "not-ready", leader: null }));
	for (const error of refused) {
		expect([error.message, endOfFailure(answered(error)).end.type]).toEqual([error.message, "fail"]);
		const after = answered(sinceItMayHaveHappened(error));
		expect([after.message, endOfFailure(after).end.type]).toEqual([after.message, "info"]);
	}
});

test("of others nobody knows", () => {
	for (const code of ["unavailable", "timeout", "no-space", "internal"] as const)
		expect(endOfFailure(new AppError(code, "Something.")).end.type).toBe("info");
});
