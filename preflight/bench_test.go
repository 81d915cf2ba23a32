package preflight

import "testing"

func BenchmarkJudge(b *testing.B) {
	f := healthy()
	for b.Loop() {
		Judge(DefaultPolicy(), f, "")
	}
}
