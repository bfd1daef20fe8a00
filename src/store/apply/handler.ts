/** The form of the rules of one kind of command. */
import type { BodyOf } from "../codec/values.ts";
import type { CommandKind } from "../command.ts";
import type { ApplyContext } from "./context.ts";

/** Changes the state or throws the AppError of the refusal (then nothing has changed). Returns the task's id, if any. */
export type Handler<K extends CommandKind> = (context: ApplyContext, body: BodyOf<K>) => string | null;
export type Handlers<K extends CommandKind> = { [Kind in K]: Handler<Kind> };
