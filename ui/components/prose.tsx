/** A sentence of the API: what stands between backticks is a command, and looks like one. */
export function Prose({ text }: { text: string }) {
	return <>{text.split("`").map((part, at) => (at % 2 === 0 ? part : <code key={at}>{part}</code>))}</>;
}
