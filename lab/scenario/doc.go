// Package scenario shows the main job on real servers, case by case, in the
// order of the table in docs/cases.md. It holds nothing but tests.
package scenario
