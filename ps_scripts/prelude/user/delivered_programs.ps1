# ---- prelude: delivered_programs -------------------------------------------------------------------
# Take the files of programs that the workstation has sent: there are none in this scope.

function Get-DeliveredProgram { return }
