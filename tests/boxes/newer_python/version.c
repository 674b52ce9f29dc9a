/* version.dll for python.exe 3.12 and newer, which calls kernel32!CopyFile2: Wine 8 has no such function.

   Every other name is Wine's own, forwarded (version.def). When this library starts, Wine has resolved the imports of
   python3NN.dll, CopyFile2 with a function that ends the program. The entry then gets the function below. */
#include <windows.h>
#include <stdio.h>

static HRESULT WINAPI copy(PCWSTR from, PCWSTR to, COPYFILE2_EXTENDED_PARAMETERS *more)
{
    BOOL done = CopyFileExW(from, to, NULL, NULL, more ? more->pfCancel : NULL, more ? more->dwCopyFlags : 0);
    return done ? S_OK : HRESULT_FROM_WIN32(GetLastError());
}

static void replace(BYTE *module, const char *library, const char *function, void *by)
{
    IMAGE_NT_HEADERS *headers = (IMAGE_NT_HEADERS *)(module + ((IMAGE_DOS_HEADER *)module)->e_lfanew);
    DWORD place = headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress;
    IMAGE_IMPORT_DESCRIPTOR *imports = (IMAGE_IMPORT_DESCRIPTOR *)(module + place);
    DWORD before;

    for (; imports->Name; imports++) {
        if (_stricmp((char *)module + imports->Name, library))
            continue;
        IMAGE_THUNK_DATA *name = (IMAGE_THUNK_DATA *)(module + imports->OriginalFirstThunk);
        IMAGE_THUNK_DATA *entry = (IMAGE_THUNK_DATA *)(module + imports->FirstThunk);
        for (; name->u1.AddressOfData; name++, entry++) {
            if (IMAGE_SNAP_BY_ORDINAL(name->u1.Ordinal))
                continue;
            if (strcmp(((IMAGE_IMPORT_BY_NAME *)(module + name->u1.AddressOfData))->Name, function))
                continue;
            VirtualProtect(entry, sizeof *entry, PAGE_READWRITE, &before);
            entry->u1.Function = (ULONGLONG)by;
            VirtualProtect(entry, sizeof *entry, before, &before);
        }
    }
}

BOOL WINAPI DllMain(HINSTANCE module, DWORD reason, void *reserved)
{
    char name[32];

    (void)module, (void)reserved;
    for (int minor = 12; reason == DLL_PROCESS_ATTACH && minor < 20; minor++) {
        snprintf(name, sizeof name, "python3%d.dll", minor);
        BYTE *python = (BYTE *)GetModuleHandleA(name);
        if (python)
            replace(python, "KERNEL32.dll", "CopyFile2", copy);
    }
    return TRUE;
}
