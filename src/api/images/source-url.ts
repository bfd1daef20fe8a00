/**
 * URLs that an image may be fetched from, as far as their form goes. Which addresses may be asked is decided by who
 * fetches, after the name is resolved and at every redirect (storage/fetch/address-policy.ts): a check of the text
 * alone would be one that names and redirects walk around.
 */
import type { FieldErrors } from "../vms/plan-state.ts";

export function checkSourceUrl(text: string, errors: FieldErrors): void {
	const path = "/source/url";
	const url = URL.parse(text);
	if (!url || (url.protocol !== "http:" && url.protocol !== "https:")) errors.add(path, "It is no http or https URL.");
	// The source is shown to everybody who sees the image.
	else if (url.username !== "" || url.password !== "") errors.add(path, "Credentials in the URL are not accepted.");
}
