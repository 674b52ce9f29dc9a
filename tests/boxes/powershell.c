/* powershell.exe of a Windows desktop in a box: PowerShell 7, called as this was, in the same console, with the same streams.
   C:\nbserver-test\powershell.txt has what stands before the arguments: the program, and the configuration of its sessions.
   This program waits and ends with the same code. Ctrl-C is PowerShell's to answer. */
#include <stdio.h>
#include <string.h>
#include <windows.h>

static BOOL WINAPI answered(DWORD event)
{
    (void)event;
    return TRUE;
}

int main(void)
{
    static char line[40000];
    PROCESS_INFORMATION process;
    STARTUPINFOA startup = {sizeof startup};
    const char *given = GetCommandLineA();
    DWORD code = 1;
    FILE *file = fopen("C:\\nbserver-test\\powershell.txt", "r");

    if (!file || !fgets(line, 2000, file))
        return 9;
    line[strcspn(line, "\r\n")] = 0;
    given = *given == '"' ? strchr(given + 1, '"') + 1 : given + strcspn(given, " ");
    strncat(line, given, sizeof line - 2001);
    SetConsoleCtrlHandler(answered, TRUE);
    if (!CreateProcessA(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process))
        return 9;
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &code);
    return (int)code;
}
