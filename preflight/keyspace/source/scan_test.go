package source

import (
	"testing"
	"time"
)

// As INFO cpu of 6.0.16 and 7.0.15 reads.
func TestProcessorTimeIsOfTheThreadThatServes(t *testing.T) {
	old := "# CPU\r\nused_cpu_sys:1.500000\r\nused_cpu_user:2.250000\r\nused_cpu_sys_children:9.0\r\nused_cpu_user_children:9.0\r\n"
	for text, want := range map[string]time.Duration{
		old: 3750 * time.Millisecond,
		old + "used_cpu_sys_main_thread:0.500000\r\nused_cpu_user_main_thread:1.000000\r\n": 1500 * time.Millisecond,
	} {
		if got, told := processorTime(text); !told || got != want {
			t.Errorf("got %v, %t, want %v", got, told, want)
		}
	}
	for _, text := range []string{"", "# CPU\r\nused_cpu_sys:1.0\r\n", "used_cpu_sys:x\r\nused_cpu_user:1.0\r\n"} {
		if got, told := processorTime(text); told {
			t.Errorf("%q: got %v", text, got)
		}
	}
}
